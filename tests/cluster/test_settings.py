"""Settings of topics and brokers take effect: at creation, by alteration, and after a restart."""
import json
import re
import resource
import threading
import time
from pathlib import Path

import pytest

from cluster_load import Load
from conftest import free_port, wait_until
from test_bad_input import API_VERSIONS, answer, connect, request
from test_records import consume, create, produce


def refused(bootstrap, size):
    try:
        produce(bootstrap, "t", [("k", "v" * size, None)])
        return False
    except AssertionError as e:
        return "MSG_SIZE_TOO_LARGE" in str(e)


def test_settings_given_at_creation_hold_from_the_first_record(standalone):
    create(standalone.bootstrap, "t", config={"max.message.bytes": "500"})
    assert refused(standalone.bootstrap, 1000)
    done = standalone.klamm("config", "describe", "--entity-type", "topics", "--entity-name", "t")
    assert "max.message.bytes=500" in done.stdout
    standalone.restart()
    assert refused(standalone.bootstrap, 1000)


def test_a_dead_topics_settings_do_not_haunt_its_successor(standalone):
    create(standalone.bootstrap, "t", config={"max.message.bytes": "500"})
    assert standalone.klamm("topic", "delete", "t").returncode == 0
    create(standalone.bootstrap, "t")
    assert not refused(standalone.bootstrap, 1000)


def test_another_broker_describes_the_settings_of_a_topic_it_does_not_host(cluster3):
    create(cluster3.bootstrap, "t", config={"retention.ms": "12345"})
    for broker in cluster3.brokers:
        done = broker.klamm("config", "describe", "--entity-type", "topics", "--entity-name", "t")
        assert "retention.ms=12345" in done.stdout, done


def test_a_compacted_topic_refuses_records_without_key(standalone):
    create(standalone.bootstrap, "t", config={"cleanup.policy": "compact"})
    with pytest.raises(AssertionError, match="INVALID_RECORD"):
        produce(standalone.bootstrap, "t", [(None, "v", None)])
    produce(standalone.bootstrap, "t", [("k", "v", None)])


def test_a_brokers_default_can_be_changed_while_it_runs(standalone):
    create(standalone.bootstrap, "t")
    done = standalone.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                            "--add-config", "message.max.bytes=500")
    assert done.returncode == 0, done
    wait_until(lambda: refused(standalone.bootstrap, 1000), "the smaller limit")
    standalone.restart()
    assert refused(standalone.bootstrap, 1000)


def answered(broker, connections):
    """Seconds until each of so many new connections, made at once, has had an answer."""
    started = time.monotonic()
    sockets = [connect(broker) for _ in range(connections)]
    for s in sockets:
        s.sendall(request(API_VERSIONS, 0))
    for s in sockets:
        assert answer(s) is not None
        s.close()
    return time.monotonic() - started


def test_new_connections_are_held_to_their_rate(make_broker):
    """Over two windows of a second, at one a second: the first at once, then one a second."""
    broker = make_broker({"quota.window.num": 2, "max.connection.creation.rate": 1}).start()
    assert answered(broker, 4) > 2.5
    assert broker.metric('klamm_connections_delayed_total{listener="PLAINTEXT"}') >= 3


def test_the_rate_of_new_connections_can_be_changed_while_the_broker_runs(make_broker):
    broker = make_broker({"quota.window.num": 2}).start()
    answered(broker, 50)
    delayed = 'klamm_connections_delayed_total{listener="PLAINTEXT"}'
    assert not broker.metric(delayed)
    done = broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                        "--add-config", "listener.name.plaintext.max.connection.creation.rate=1")
    assert done.returncode == 0, done

    def one_more_waits():
        answered(broker, 1)
        return broker.metric(delayed)

    wait_until(one_more_waits, "the rate holds for the listener")


def test_settings_of_a_listener_and_of_a_plug_in_are_described_and_kept(make_broker):
    """A client that replaces all settings, as klamm config alter does, must be told of them."""
    broker = make_broker({"listener.name.plaintext.max.connections": "1000",
                          "listener.name.plaintext.ssl.key.password": "secret",
                          "a.plug.in.s": "own"}).start()

    def described():
        done = broker.klamm("config", "describe", "--broker", 0, "--all", "--json")
        return {c["name"]: c for c in json.loads(done.stdout)[0]["configs"]}

    key = "listener.name.plaintext.max.connections"
    assert described()[key]["value"] == "1000"
    alter(broker, f"{key}=900")
    alter(broker, "max.connections=800")
    now = described()[key]
    assert (now["value"], now["source"]) == ("900", "DYNAMIC_BROKER_CONFIG")
    assert [(s["name"], s["value"]) for s in now["synonyms"]] == [
        (key, "900"), ("max.connections", "800"), (key, "1000"), ("max.connections", "2147483647")]
    for secret in "listener.name.plaintext.ssl.key.password", "a.plug.in.s":
        assert described()[secret]["value"] is None and described()[secret]["sensitive"]


def test_a_static_setting_is_refused(standalone):
    done = standalone.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                            "--add-config", "log.dirs=/tmp")
    assert done.returncode == 1 and "dynamically" in done.stderr


def alter(broker, *settings):
    done = broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                        "--add-config", ",".join(settings))
    assert done.returncode == 0, done


def name_of(task):
    try:
        return (task / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended


def tasks(broker, name):
    """{name: folder under /proc} of the threads of the broker, or of the supervisor that it is the
    child of, whose names begin so."""
    pid = broker.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [(name_of(task), task)
             for p in [pid, *children] for task in Path(f"/proc/{p}/task").iterdir()]
    return {comm: task for comm, task in found if comm.startswith(name)}


def threads(broker, name):
    """How many are named so."""
    return len(tasks(broker, name))


def test_background_threads_and_the_cleaners_settings_change_while_the_broker_runs(make_broker):
    broker = make_broker({"background.threads": 4, "log.cleaner.backoff.ms": 3600000}).start()
    create(broker.bootstrap, "t", config={"cleanup.policy": "compact", "segment.bytes": "1000",
                                          "min.cleanable.dirty.ratio": "0.01"})
    produce(broker.bootstrap, "t", [("k", "v" * 600, None) for _ in range(20)],
            {"batch.num.messages": 1})
    assert threads(broker, "worker-") == 4
    assert not broker.metric("klamm_log_cleaner_runs_total")
    alter(broker, "background.threads=7", "log.cleaner.backoff.ms=100")
    wait_until(lambda: threads(broker, "worker-") == 7, "there are more threads")
    wait_until(lambda: broker.metric("klamm_log_cleaner_runs_total"), "the log was compacted")
    alter(broker, "background.threads=4")
    wait_until(lambda: threads(broker, "worker-") == 4, "there are fewer again")
    alter(broker, "background.threads=5")
    broker.restart()
    wait_until(lambda: threads(broker, "worker-") == 5, "it holds after a start, too")
    assert "that has no effect now" not in broker.log()


def test_settings_that_change_while_a_broker_stops_harm_nothing(cluster, zk):
    broker = cluster.brokers[0]
    path = f"/config/brokers/{broker.id}"
    zk.ensure_path(path)
    stopped = threading.Event()

    def change_all_the_time():
        notices = []
        while not stopped.is_set():
            zk.set(path, json.dumps({"version": 1, "config": {
                "max.connections": str(1000 + time.monotonic_ns() % 1000)}}).encode())
            notices.append(zk.create("/config/changes/config_change_", json.dumps(
                {"version": 2, "entity_path": f"brokers/{broker.id}"}).encode(), sequence=True))
            if len(notices) > 20:
                zk.delete(notices.pop(0))

    changing = threading.Thread(target=change_all_the_time)
    changing.start()
    try:
        for _ in range(5):
            said = broker.log().count("dynamic settings of the broker have changed")
            wait_until(lambda: broker.log().count(
                "dynamic settings of the broker have changed") > said + 20, "settings change")
            broker.restart()
    finally:
        stopped.set()
        changing.join()
    assert broker.errors() == []


def test_a_dynamic_change_without_effect_is_told(standalone):
    alter(standalone, "num.io.threads=12")
    told = ("a dynamic setting has changed that has no effect now key=num.io.threads "
            'notice="is accepted; there is nothing that it tunes"')
    wait_until(lambda: told in standalone.log(), "it is told")


def times_woken(broker):
    """{name of an event loop's thread: how often it has gone to sleep}"""
    return {name: int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                (task / "status").read_text(), re.MULTILINE)[1])
            for name, task in tasks(broker, "reactor-").items()}


def serving(broker, count, requests=100):
    """The event loops that serve so many new connections: those that their requests wake."""
    sockets = [connect(broker) for _ in range(count)]
    before = times_woken(broker)
    for _ in range(requests):
        for s in sockets:
            s.sendall(request(API_VERSIONS, 0))
            assert answer(s) is not None
    after = times_woken(broker)
    for s in sockets:
        s.close()
    return {name for name in after if after[name] - before[name] >= 100}


def test_network_threads_are_added_and_put_to_rest_while_the_broker_runs(make_broker):
    """Producers go on; new connections go to as many event loops as there should be."""
    def loops(count):
        return {f"reactor-{i}" for i in range(count)}

    broker = make_broker({"num.network.threads": 2}).start()
    create(broker.bootstrap, "t", 3)
    loads = [Load(broker, "t", 0.005), Load(broker, "t", 0.005)]
    old = [connect(broker) for _ in range(4)]
    for load in loads:
        load.wait_acked(100)
    assert tasks(broker, "reactor-").keys() == loops(2) == serving(broker, 8)
    for before, now, started in (2, 4, 4), (4, 8, 8), (8, 4, 8), (4, 2, 8), (2, 3, 8):
        alter(broker, f"num.network.threads={now}")
        line = f"network threads has changed listener=PLAINTEXT from={before} to={now}"
        wait_until(lambda: line in broker.log(), line)
        assert tasks(broker, "reactor-").keys() == loops(started)
        assert serving(broker, 4 * now) == loops(now)
        for load in loads:
            load.wait_acked(100)
    for s in old:  # nobody was cut off
        s.sendall(request(API_VERSIONS, 0))
        assert answer(s) is not None
    for load in loads:
        load.stop()
    got = [int(m.value()) for m in consume(broker.bootstrap, "t", 3, sum(l.next for l in loads))]
    assert sorted(got) == sorted(v for l in loads for v in range(l.next))
    broker.restart()
    assert tasks(broker, "reactor-").keys() == loops(3)
    assert "that has no effect now" not in broker.log()
    assert broker.errors() == []


def test_a_listener_may_have_a_number_of_network_threads_of_its_own(make_broker):
    def loops(count):
        return {f"reactor-{i}" for i in range(count)}

    broker = make_broker({"num.network.threads": 2, "listener.name.own.num.network.threads": 4,
                          "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OWN:PLAINTEXT"})
    common, own = broker.port, free_port()
    broker.settings["listeners"] += f",OWN://127.0.0.1:{own}"
    broker.start()

    def check(on_common, on_own, started):
        broker.port = common
        wait_until(lambda: serving(broker, 12) == loops(on_common), f"{on_common} serve all")
        broker.port = own
        wait_until(lambda: serving(broker, 12) == loops(on_own), f"{on_own} serve one listener")
        assert tasks(broker, "reactor-").keys() == loops(started)

    check(2, 4, 4)
    alter(broker, "listener.name.own.num.network.threads=3")
    check(2, 3, 4)
    alter(broker, "num.network.threads=4")
    check(4, 3, 4)
    done = broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                        "--delete-config", "listener.name.own.num.network.threads")
    assert done.returncode == 0, done
    check(4, 4, 4)
    assert broker.errors() == []


def test_network_threads_are_halved_or_doubled_at_most_by_one_change(make_broker):
    """Of each listener by its own number: as Kafka does."""
    broker = make_broker({"num.network.threads": 2, "listener.name.own.num.network.threads": 8,
                          "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OWN:PLAINTEXT"})
    broker.settings["listeners"] += f",OWN://127.0.0.1:{free_port()}"
    broker.start()
    for setting, limits in (("num.network.threads=5", "from 1 to 4"),
                            ("listener.name.own.num.network.threads=3", "from 4 to 16"),
                            ("listener.name.own.num.network.threads=17", "from 4 to 16")):
        done = broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                            "--add-config", setting)
        assert done.returncode == 1 and f"must be {limits} now" in done.stderr, done
    assert threads(broker, "reactor-") == 8
    alter(broker, "num.network.threads=4", "listener.name.own.num.network.threads=16")
    wait_until(lambda: threads(broker, "reactor-") == 16, "both have what they may")


def test_network_threads_that_cannot_be_started_leave_all_as_it_was(make_broker):
    def loops(count):
        return {f"reactor-{i}" for i in range(count)}

    broker = make_broker({"num.network.threads": 10}).start()
    process = tasks(broker, "reactor-")["reactor-0"].parents[1]
    used = len(list((process / "fd").iterdir()))
    limit = used + 25  # each thread takes three
    resource.prlimit(int(process.name), resource.RLIMIT_NOFILE, (limit, limit))
    alter(broker, "num.network.threads=20")
    told = "cannot start as many network threads"
    wait_until(lambda: told in broker.log(), told)
    assert "wanted=20 running=10 error=Too many open files" in broker.log()
    assert tasks(broker, "reactor-").keys() == loops(10) == serving(broker, 10, 300)
    alter(broker, "num.network.threads=12")
    wait_until(lambda: threads(broker, "reactor-") == 12, "fewer can be started")
    assert serving(broker, 12, 300) == loops(12)
    assert len(broker.errors()) == 1  # not one at each tick
