"""DeleteRecords is answered when the log of every living replica starts where it should."""
import signal
import threading

from confluent_kafka import Producer

from conftest import wait_until
from test_controller import (PREFERRED, UNBALANCED, by_id, described, elect, leaders, make_cluster,
                             make_topic, no_errors)
from wire import Connection

__all__ = ["make_cluster"]

NONE, NOT_LEADER, TIMED_OUT = 0, 6, 7
VERSION = 2


def fill(cluster, partition=0, count=100):
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all"})
    for i in range(count):
        producer.produce("t", str(i), partition=partition)
    assert producer.flush(30) == 0


def delete(broker, offset, timeout_ms=30000):
    """(error, low watermark) of the first partition."""
    with Connection(broker.port, timeout_s=60) as c:
        answer = c.call("DeleteRecords", VERSION, {"TimeoutMs": timeout_ms, "Topics": [
            {"Name": "t", "Partitions": [{"PartitionIndex": 0, "Offset": offset}]}]})
    partition, = answer["Topics"][0]["Partitions"]
    return partition["ErrorCode"], partition["LowWatermark"]


class Deleting:
    """A request that waits on a thread of its own."""

    def __init__(self, broker, offset):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(broker, offset), daemon=True)
        self.thread.start()
        wait_until(lambda: starts([broker]) == {broker.id: offset}, "the leader has deleted")

    def run(self, broker, offset):
        self.answer = delete(broker, offset)

    def wait(self):
        self.thread.join(60)
        return self.answer


def starts(brokers):
    return {b.id: b.metric('klamm_log_start_offset{topic="t",partition="0"}') for b in brokers}


def test_the_answer_comes_when_all_replicas_have_followed(make_cluster):
    cluster = make_cluster()
    make_topic(cluster, [[1, 2, 3]])
    fill(cluster)
    leader = by_id(cluster, 1)
    for offset in 10, 60, -1:
        expected = 100 if offset == -1 else offset
        assert delete(leader, offset) == (NONE, expected)
        assert starts(cluster.brokers) == {1: expected, 2: expected, 3: expected}
    assert delete(leader, 50) == (NONE, 100)
    no_errors(cluster)


def test_a_replica_that_stands_still_is_waited_for_and_a_dead_one_is_not(make_cluster):
    cluster = make_cluster({"klamm.supervisor.enable": "false",
                            "zookeeper.session.timeout.ms": 6000, "replica.lag.time.max.ms": 30000})
    make_topic(cluster, [[1, 2, 3]])
    fill(cluster)
    leader, still = by_id(cluster, 1), by_id(cluster, 3)
    assert delete(leader, 10) == (NONE, 10)
    still.process.send(signal.SIGSTOP)
    assert delete(leader, 20, timeout_ms=300) == (TIMED_OUT, 10)
    waiting = Deleting(leader, 30)
    assert waiting.answer is None
    still.process.stop(signal.SIGKILL)
    assert waiting.wait() == (NONE, 30)
    no_errors(cluster)


def test_a_leader_that_leads_no_longer_says_so(make_cluster):
    cluster = make_cluster({**UNBALANCED, "klamm.supervisor.enable": "false",
                            "zookeeper.session.timeout.ms": 20000, "replica.lag.time.max.ms": 30000})
    make_topic(cluster, [[2, 1, 3]])
    by_id(cluster, 2).restart()
    wait_until(lambda: leaders(cluster) == {0: 1}, "broker 1 leads")
    wait_until(lambda: set(described(cluster, "t")[0].isrs) == {1, 2, 3}, "all are in sync")
    fill(cluster)
    by_id(cluster, 3).process.send(signal.SIGSTOP)
    waiting = Deleting(by_id(cluster, 1), 30)
    assert elect(cluster, PREFERRED, [0]) == {0: NONE}
    assert waiting.wait() == (NOT_LEADER, -1)
