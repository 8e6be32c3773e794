"""Settings of topics and brokers take effect: at creation, by alteration, and after a restart."""
import time

import pytest

from conftest import wait_until
from test_bad_input import API_VERSIONS, answer, connect, request
from test_records import create, produce


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


def test_a_static_setting_is_refused(standalone):
    done = standalone.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", "0",
                            "--add-config", "log.dirs=/tmp")
    assert done.returncode == 1 and "dynamically" in done.stderr
