"""Brokers that come back, in turn, with less than they had, or with more than their leader has."""
import json
import shutil
import threading
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from cluster_load import (Load, check_all, described, described_by, end, leader_of, make_topic,
                          make_topic_on, segments, wait_whole)
from conftest import START_TIMEOUT_S, Cluster, kazoo_of, wait_until


@pytest.fixture
def three(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "min.insync.replicas": 2, "replica.lag.time.max.ms": 5000, "offsets.topic.num.partitions": 3,
        "default.replication.factor": 3, "offsets.topic.replication.factor": 3,
        "group.initial.rebalance.delay.ms": 0, "zookeeper.session.timeout.ms": 4000,
        "auto.leader.rebalance.enable": "false"}).start()
    yield c
    end(c)


def test_a_broker_that_comes_back_with_an_empty_disk_gets_everything_again(three):
    """A follower, and one that led when it died: it has no say in what the records are."""
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    for role in "follower", "leader":
        load.wait_acked(1000)
        leader = leader_of(three, topic)
        victim = leader if role == "leader" else next(b for b in three.brokers if b is not leader)
        victim.kill()
        wait_until(lambda: all(victim.id not in p.isrs for p in described_by(
            three, victim, topic).values()), "it has left the ISR")
        shutil.rmtree(victim.data)
        load.wait_acked(500)
        victim.start()
        wait_whole(three, topic)
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def cut_off(path, count):
    """The last batches of a segment are gone, and a piece of the one before."""
    data = path.read_bytes()
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at += 12 + int.from_bytes(data[at + 8:at + 12], "big")
    path.write_bytes(data[:starts[-count] - 7])


def test_a_follower_that_is_ahead_of_its_leader_cuts_back(three):
    """The machine of a leader lost the last records before it had flushed them, which no producer was
    waiting for; it comes back alone and leads. The others have more, and give it up."""
    topic = make_topic_on(three, "t", [[1, 2, 3]])
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(1000)
    load.stop()
    kept = described_end(three, topic)
    producer = Producer({"bootstrap.servers": three.bootstrap, "acks": 1, "linger.ms": 0})
    for i in range(40):
        producer.produce(topic, value="-1")
        producer.flush(10)
    wait_until(lambda: len({tuple(segments(b, topic, 0).items()) for b in three.brokers}) == 1,
               "the others have it")
    for broker in three.brokers[::-1]:  # the leader last, with all still in the ISR
        broker.kill()
    first = three.brokers[0]
    cut_off(first.data / "t-0" / f"{0:020}.log", 30)
    first.start()
    wait_until(lambda: described_by_one(first, topic).leader == 1, "it leads")
    for broker in three.brokers[1:]:
        broker.start()
    wait_whole(three, topic)
    left = described_end(three, topic)
    assert kept < left < kept + 40
    for broker in three.brokers[1:]:
        assert f"truncated to where the leader's history parts from ours partition=t-0 from={kept + 40}"\
            f" to={left}" in broker.log()
    load = Load(three, topic, pause_s=0.001)
    load.next = 100000
    load.wait_acked(500)
    load.stop()
    wait_until(lambda: len({tuple(segments(b, topic, 0).items()) for b in three.brokers}) == 1,
               "all have the same")


def described_by_one(broker, topic):
    return Producer({"bootstrap.servers": broker.bootstrap}).list_topics(
        topic, timeout=10).topics[topic].partitions[0]


def described_end(cluster, topic):
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "none"})
    high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
    consumer.close()
    return high


class Reader:
    """A member of a group on a thread of its own, which commits what it has read."""

    def __init__(self, cluster, topic):
        self.consumer = Consumer({
            "bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 10000})
        self.consumer.subscribe([topic])
        self.seen, self.running = set(), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.running:
            messages = [m for m in self.consumer.consume(200, 0.2) if m.error() is None]
            if messages:
                self.seen.update(int(m.value()) for m in messages)
                try:
                    self.consumer.commit(asynchronous=False)
                except KafkaException:
                    pass  # the coordinator moves, or a member came: what follows is committed
        self.consumer.close()

    def stop(self):
        self.running = False
        self.thread.join(30)
        assert not self.thread.is_alive()


def committed(cluster, topic):
    """{partition: (committed, end)} of the group."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g"})
    partitions = [TopicPartition(topic, n) for n in described(cluster, topic)]
    offsets = {p.partition: (p.offset, consumer.get_watermark_offsets(p, timeout=10)[1])
               for p in consumer.committed(partitions, timeout=10)}
    consumer.close()
    return offsets


def test_a_rolling_restart_goes_unnoticed_by_producers_and_groups(three):
    """Every broker in turn, the controller too."""
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    readers = [Reader(three, topic) for _ in range(2)]
    for broker in three.brokers:
        seen = sum(len(r.seen) for r in readers)
        load.wait_acked(500)
        wait_until(lambda: sum(len(r.seen) for r in readers) > seen, "the group reads")
        broker.stop()
        assert "leaderships have moved to other brokers" in broker.log()
        broker.start()
        wait_whole(three, topic)
    load.wait_acked(500)
    load.stop()
    wait_until(lambda: set(load.acked) <= set().union(*(r.seen for r in readers)), "all is read")
    wait_until(lambda: all(at == last for at, last in committed(three, topic).values() if last > 0),
               "all is committed")
    for reader in readers:
        reader.stop()
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]
    assert sum(b.metric("klamm_isr_shrinks_total") for b in three.brokers) == 0


def producer_epochs(broker, topic, partition):
    """Those of all batches of the log."""
    epochs = set()
    for data in segments(broker, topic, partition).values():
        at = 0
        while at < len(data):
            epochs.add(int.from_bytes(data[at + 51:at + 53], "big"))
            at += 12 + int.from_bytes(data[at + 8:at + 12], "big")
    return epochs


def test_a_leader_that_stays_takes_requests_in_order_through_its_epochs(three):
    """Followers come and go, and each time the leader begins another epoch, under many requests in
    flight. Were one refused on the way and the next one taken, its sequence would be out of order;
    clients then begin a new epoch of theirs, and may send twice what they had sent."""
    topic = make_topic_on(three, "t", [[1, 2, 3]] * 12)
    load = Load(three, topic, settings={"linger.ms": 0, "batch.num.messages": 1})
    for _ in range(2):
        for broker in three.brokers[1:]:
            load.wait_acked(200)
            broker.restart()
            wait_whole(three, topic)
    check_all(three, topic, load)
    assert set().union(*(producer_epochs(three.brokers[0], topic, n) for n in range(12))) == {0}


def ask_by_znode(zk, name, partitions):
    """As tools of old do; returns as soon as the controller has done it."""
    zk.create(f"/admin/{name}", json.dumps({"version": 1, "partitions": partitions}).encode())
    deadline = time.monotonic() + START_TIMEOUT_S
    while zk.exists(f"/admin/{name}"):
        assert time.monotonic() < deadline, f"the controller does nothing about {name}"


def test_what_leaders_acknowledge_is_kept_though_they_change_all_the_time(three):
    """Each is deposed while appends are under way. Were one of those acknowledged, its records could
    be missing where the next leader goes on. One request at a time: of two, the first may come before
    a broker leads and the second after that, and then the client begins a new epoch of its own."""
    orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
    topic = make_topic_on(three, "t", [orders[0]] * 4)
    load = Load(three, topic, settings={"linger.ms": 0, "batch.num.messages": 1,
                                         "max.in.flight": 1})
    for zk in kazoo_of(three):
        for turn in range(1, 400):
            ask_by_znode(zk, "reassign_partitions", [
                {"topic": topic, "partition": n, "replicas": orders[turn % 3]} for n in range(4)])
            ask_by_znode(zk, "preferred_replica_election", [
                {"topic": topic, "partition": n} for n in range(4)])
    check_all(three, topic, load)
