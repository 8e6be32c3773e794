"""Listeners are added, removed and moved by settings while the broker runs."""
import json
import signal
import socket

import pytest

from cluster_load import Load, admin, check_all, create_on, make_topic, wait_whole
from conftest import free_port, kazoo_of, wait_until
from test_records import consume, create, produce


@pytest.fixture
def zk3(cluster3):
    yield from kazoo_of(cluster3)


def alter(broker, **settings):
    """A None takes the setting away. Names with _ for the dots."""
    given = {k.replace("_", "."): v for k, v in settings.items()}
    added = ",".join(f"{k}=[{v}]" for k, v in given.items() if v is not None)
    removed = ",".join(k for k, v in given.items() if v is None)
    return broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", broker.id,
                        *(["--add-config", added] if added else []),
                        *(["--delete-config", removed] if removed else []))


def change(broker, **settings):
    done = alter(broker, **settings)
    assert done.returncode == 0, done


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def endpoints(zk, broker):
    return json.loads(zk.get(f"/brokers/ids/{broker.id}")[0])["endpoints"]


def told_port(bootstrap):
    """The port of the broker, as the metadata tells who asks by this listener."""
    return [b.port for b in admin_of(bootstrap).list_topics(timeout=10).brokers.values()]


def admin_of(bootstrap):
    class One:
        pass
    One.bootstrap = bootstrap
    return admin(One)


def plaintext(port):
    return f"PLAINTEXT://127.0.0.1:{port}"


MAP = "PLAINTEXT:PLAINTEXT,SECOND:PLAINTEXT,SAFE:SSL"


def test_a_listener_is_added_and_removed_while_the_broker_runs(cluster, zk):
    broker, port = cluster.brokers[0], free_port()
    create(broker.bootstrap, "t")
    change(broker, listeners=f"{plaintext(broker.port)},SECOND://127.0.0.1:{port}",
           listener_security_protocol_map=MAP)
    wait_until(lambda: listens(port), "the second listener is open")
    second = f"SECOND://127.0.0.1:{port}"
    wait_until(lambda: endpoints(zk, broker) == [plaintext(broker.port), second],
               "both are registered")
    wait_until(lambda: told_port(f"127.0.0.1:{port}") == [port], "its clients are told of it")
    assert told_port(broker.bootstrap) == [broker.port]
    produce(f"127.0.0.1:{port}", "t", [("k", str(i), None) for i in range(100)])
    assert len(consume(broker.bootstrap, "t", 1, 100)) == 100
    assert broker.metric('klamm_connections_accepted_total{listener="SECOND"}') > 0

    with socket.create_connection(("127.0.0.1", port), 5) as client:
        change(broker, listeners=None, listener_security_protocol_map=None)
        client.settimeout(10)
        assert client.recv(1) == b"", "connections of the listener are closed"
    wait_until(lambda: not listens(port), "it is closed")
    wait_until(lambda: endpoints(zk, broker) == [plaintext(broker.port)], "it is unregistered")
    produce(broker.bootstrap, "t", [("k", "more", None)])
    assert broker.errors() == []


def test_a_tls_listener_is_added_with_its_own_certificate(make_broker, certificates):
    broker, port = make_broker().start(), free_port()
    create(broker.bootstrap, "t")
    change(broker, listeners=f"{plaintext(broker.port)},SAFE://localhost:{port}",
           listener_security_protocol_map=MAP, **{
               "listener.name.safe.ssl.keystore.location": certificates / "broker.pem",
               "listener.name.safe.ssl.keystore.type": "PEM"})
    wait_until(lambda: listens(port), "the listener is open")
    tls = {"security.protocol": "ssl", "ssl.ca.location": str(certificates / "ca.pem")}
    produce(f"localhost:{port}", "t", [("k", "v", None)], tls)
    broker.restart()
    assert len(consume(f"localhost:{port}", "t", 1, 1, extra=tls)) == 1


def test_all_brokers_move_under_load_and_nothing_is_lost(cluster3, zk3):
    """The listener of clients and brokers in one: followers and the controller find the others
    where they are now."""
    topic = make_topic(cluster3)
    load = Load(cluster3, topic)
    load.wait_acked(1000)
    for broker in cluster3.brokers:
        former, broker.port = broker.port, free_port()
        done = alter_at(broker, former, listeners=plaintext(broker.port))
        assert done.returncode == 0, done
        wait_until(lambda: listens(broker.port) and not listens(former), "it has moved")
        wait_until(lambda: endpoints(zk3, broker) == [plaintext(broker.port)], "others know")
        load.wait_acked(2000)
        wait_whole(cluster3, topic)
    # Each is commanded, and commands.
    for broker in cluster3.brokers:
        create_on(broker, f"after-{broker.id}", [[broker.id, broker.id % 3 + 1]])
    wait_until(lambda: all(set(admin(cluster3).list_topics(f"after-{b.id}", timeout=10)
                               .topics[f"after-{b.id}"].partitions[0].isrs) ==
                           {b.id, b.id % 3 + 1} for b in cluster3.brokers), "topics are replicated")
    check_all(cluster3, topic, load)


def alter_at(broker, port, **settings):
    """Asks the broker where it was."""
    now, broker.port = broker.port, port
    try:
        return alter(broker, **settings)
    finally:
        broker.port = now


def test_the_advertised_address_changes_alone(cluster, zk):
    broker = cluster.brokers[0]
    with socket.create_connection(("127.0.0.1", broker.port), 5) as client:
        change(broker, advertised_listeners=f"PLAINTEXT://localhost:{broker.port}")
        wait_until(lambda: endpoints(zk, broker) == [f"PLAINTEXT://localhost:{broker.port}"],
                   "the address is registered")
        wait_until(lambda: [b.host for b in admin_of(broker.bootstrap).list_topics(timeout=10)
                            .brokers.values()] == ["localhost"], "clients are told")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)  # who is connected stays so
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "v", None)])


def test_a_listener_goes_from_one_address_to_all_at_the_same_port(make_broker):
    broker = make_broker().start()
    create(broker.bootstrap, "t")
    change(broker, listeners=f"PLAINTEXT://:{broker.port}",
           advertised_listeners=plaintext(broker.port))
    wait_until(lambda: f"listening listener=PLAINTEXT host=* port={broker.port}" in broker.log(),
               "it listens anew")
    produce(broker.bootstrap, "t", [("k", "v", None)])
    assert broker.errors() == []


REFUSED = [
    ("no listener for brokers", dict(listeners="SECOND://127.0.0.1:{port}"),
     "inter.broker.listener.name|security.inter.broker.protocol"),
    ("unknown name", dict(listeners="{here},THIRD://127.0.0.1:{port}"), "THIRD"),
    ("a port twice", dict(listeners="{here},SECOND://127.0.0.1:{here_port}"), "there twice"),
    ("SASL", dict(listeners="{here},SASL_PLAINTEXT://127.0.0.1:{port}",
                  listener_security_protocol_map=None), "SASL is not served yet"),
    ("another protocol", dict(listener_security_protocol_map="PLAINTEXT:SSL,SECOND:PLAINTEXT"),
     "PLAINTEXT speaks PLAINTEXT and cannot change to SSL"),
    ("advertised, not listened on", dict(advertised_listeners="{here},SAFE://localhost:1"),
     "no listener named SAFE"),
]


@pytest.mark.parametrize("settings, reason", [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_listeners_that_cannot_be_are_refused(make_broker, settings, reason):
    broker = make_broker().start()
    change(broker, listener_security_protocol_map=MAP)
    given = {k: v and v.format(here=plaintext(broker.port), here_port=broker.port, port=free_port())
             for k, v in settings.items()}
    done = alter(broker, **given)
    assert done.returncode == 1
    assert any(r in done.stderr for r in reason.split("|")), done.stderr
    create(broker.bootstrap, "t")
    assert broker.errors() == []


def test_all_stays_as_it_is_when_one_listener_cannot_be_opened(cluster, zk):
    """Not even the one that could be, nor the one that would have made way."""
    broker, port = cluster.brokers[0], free_port()
    create(broker.bootstrap, "t")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        change(broker, listener_security_protocol_map=MAP,
               advertised_listeners=plaintext(broker.port),
               listeners=f"PLAINTEXT://:{broker.port},SECOND://127.0.0.1:{port},"
                         f"SAFE://127.0.0.1:{taken.getsockname()[1]}")
        # SAFE has no certificate either: whichever is found first.
        wait_until(lambda: "the listeners stay as they are" in broker.log(), "the failure is told")
        assert not listens(port)
        assert endpoints(zk, broker) == [plaintext(broker.port)]
        produce(broker.bootstrap, "t", [("k", "v", None)])
    change(broker, listeners=f"{plaintext(broker.port)},SECOND://127.0.0.1:{port}")
    wait_until(lambda: listens(port), "what can be opened is opened")
    produce(broker.bootstrap, "t", [("k", "v", None)])


def test_wrong_listeners_in_the_ensemble_keep_no_broker_from_its_start(cluster, zk):
    broker = cluster.brokers[0]
    broker.stop()
    path = f"/config/brokers/{broker.id}"
    zk.ensure_path(path)
    zk.set(path, json.dumps({"version": 1, "config": {"listeners": "NOBODY://:1"}}).encode())
    broker.start()
    assert "dynamic listeners are wrong: those of the file hold" in broker.log()
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "v", None)])


def test_a_new_session_registers_the_address_that_holds(cluster, zk):
    broker = cluster.brokers[0]
    former, broker.port = broker.port, free_port()
    done = alter_at(broker, former, listeners=plaintext(broker.port))
    assert done.returncode == 0, done
    wait_until(lambda: endpoints(zk, broker) == [plaintext(broker.port)], "it has moved")
    node = f"/brokers/ids/{broker.id}"
    broker.process.send(signal.SIGSTOP)
    wait_until(lambda: not zk.exists(node), "the session expires", 30)
    broker.process.send(signal.SIGCONT)
    wait_until(lambda: zk.exists(node), "the broker registers again", 30)
    assert endpoints(zk, broker) == [plaintext(broker.port)]
    assert listens(broker.port) and not listens(former)
