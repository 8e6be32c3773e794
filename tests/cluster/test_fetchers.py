"""num.replica.fetchers while the brokers run: threads come and go, and followers notice nothing."""
import signal

import pytest

from cluster_load import KEYS, Load, check_all, described_by, end, isr_is, make_topic
from conftest import Cluster, wait_until
from test_settings import threads
from wire import Connection

NONE, INVALID_REQUEST = 0, 42
SET, DELETE = 0, 1
BROKER = 4


@pytest.fixture
def three(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "min.insync.replicas": 2, "zookeeper.session.timeout.ms": 4000,
        "klamm.supervisor.hang.timeout.ms": 60000}).start()
    yield c
    end(c)


def altered(broker, resource, changes):
    """(error, message) of one IncrementalAlterConfigs. changes: {key: value, or None to delete it}"""
    with Connection(broker.port) as c:
        answer = c.call("IncrementalAlterConfigs", 1, {"Resources": [{
            "ResourceType": BROKER, "ResourceName": resource, "Configs": [
                {"Name": k, "ConfigOperation": DELETE if v is None else SET, "Value": v}
                for k, v in changes.items()]}]})["Responses"][0]
    return answer["ErrorCode"], answer["ErrorMessage"]


def replaced(broker, resource, settings):
    """The same of one AlterConfigs, which sets these and removes the rest."""
    with Connection(broker.port) as c:
        answer = c.call("AlterConfigs", 2, {"Resources": [{
            "ResourceType": BROKER, "ResourceName": resource, "Configs": [
                {"Name": k, "Value": v} for k, v in settings.items()]}]})["Responses"][0]
    return answer["ErrorCode"], answer["ErrorMessage"]


def set_fetchers(broker, count):
    assert altered(broker, str(broker.id), {"num.replica.fetchers": str(count)}) == (NONE, None)
    wait_until(lambda: threads(broker, "fetcher-") == count, f"{count} threads fetch")


def test_fetchers_come_and_go_under_load_and_nobody_leaves_the_isr(three):
    topic = make_topic(three, partitions=12)
    load = Load(three, topic)
    load.wait_acked(500)
    assert [threads(b, "fetcher-") for b in three.brokers] == [1, 1, 1]
    for count in (2, 4, 7, 3, 1, 2):
        for broker in three.brokers:
            set_fetchers(broker, count)
            load.wait_acked(200)
    assert altered(three.brokers[0], "", {"num.replica.fetchers": "4"}) == (NONE, None)
    for broker in three.brokers:
        assert altered(broker, str(broker.id), {"num.replica.fetchers": None}) == (NONE, None)
        wait_until(lambda: threads(broker, "fetcher-") == 4, "the count for all brokers holds")
    load.wait_acked(500)
    assert isr_is(three, topic, {1, 2, 3})
    assert [b.metric("klamm_isr_shrinks_total") for b in three.brokers] == [0, 0, 0]
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]
    assert not any("that has no effect now" in b.log() for b in three.brokers)


def test_fetchers_change_while_leaders_do(three):
    """Orders to follow others, or nobody, come in between, for partitions that are on their way."""
    topic = make_topic(three, partitions=12)
    load = Load(three, topic)
    # A partition that knows nothing of a producer takes any sequence number from it: were the first
    # batch refused by who is not the leader yet, and the second taken by who has become it, the
    # client would believe that the first was taken, too. So it is with Kafka.
    wait_until(lambda: {v % KEYS for v in load.acked} == set(range(KEYS)), "all know the producer")
    for victim, count in zip(three.brokers, (2, 4, 2)):
        others = [b for b in three.brokers if b is not victim]
        victim.process.send(signal.SIGSTOP)  # longer than its session, so that it is replaced
        for broker in others:
            set_fetchers(broker, count)
        wait_until(lambda: victim.id not in {
            p.leader for p in described_by(three, victim, topic).values()}, "it is replaced")
        for broker in others:
            set_fetchers(broker, 3 if count == 2 else 2)
        victim.process.send(signal.SIGCONT)
        for broker in others:
            set_fetchers(broker, count)
        wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "all are in sync again")
        set_fetchers(victim, 2)
        load.wait_acked(300)
    check_all(three, topic, load)


def test_the_count_that_was_set_holds_after_a_start(three):
    broker = three.brokers[0]
    set_fetchers(broker, 2)
    broker.restart()
    assert threads(broker, "fetcher-") == 2


def test_a_pool_of_threads_is_not_changed_by_more_than_a_factor_of_two(make_broker):
    broker = make_broker({"num.replica.fetchers": 4, "background.threads": 6}).start()

    def refused(resource, changes, *says):
        for ask in altered, replaced:
            error, message = ask(broker, resource, changes)
            assert error == INVALID_REQUEST, message
            for word in says:
                assert word in message

    for resource in str(broker.id), "":
        refused(resource, {"num.replica.fetchers": "9"}, "num.replica.fetchers=9", "2 to 8", "it is 4")
        refused(resource, {"num.replica.fetchers": "1"}, "num.replica.fetchers=1", "2 to 8")
        refused(resource, {"num.replica.fetchers": "0"}, "num.replica.fetchers=0", "2 to 8")
        refused(resource, {"num.replica.fetchers": "many"}, "num.replica.fetchers=many")
        refused(resource, {"num.io.threads": "17"}, "num.io.threads=17", "4 to 16")
        refused(resource, {"num.recovery.threads.per.data.dir": "3"}, "1 to 2")
        refused(resource, {"num.replica.fetchers": "8", "background.threads": "13"}, "3 to 12")
    assert threads(broker, "fetcher-") == 4
    set_fetchers(broker, 8)
    # What the broker overrides itself does not change for it; without the override it would.
    assert altered(broker, "", {"num.replica.fetchers": "100"}) == (NONE, None)
    refused_error, message = altered(broker, str(broker.id), {"num.replica.fetchers": None})
    assert refused_error == INVALID_REQUEST and "num.replica.fetchers=100" in message
    assert altered(broker, "", {"num.replica.fetchers": None}) == (NONE, None)
    assert altered(broker, str(broker.id), {"num.replica.fetchers": None}) == (NONE, None)
    wait_until(lambda: threads(broker, "fetcher-") == 4, "the file's count holds again")
