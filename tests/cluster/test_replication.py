"""Three brokers behind one ensemble: records survive the loss of any one of them."""
import os
import random
import signal
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from cluster_load import (Load, check_all, check_once_and_in_order, consume_all, described,
                          described_by, end, isr_is, leader_of, make_topic)
from conftest import Cluster, wait_until


@pytest.fixture
def three(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "default.replication.factor": 3, "offsets.topic.num.partitions": 3,
        "min.insync.replicas": 2, "group.initial.rebalance.delay.ms": 0,
        "replica.lag.time.max.ms": 5000, "zookeeper.session.timeout.ms": 2000}).start()
    yield c
    end(c)


def test_followers_have_what_the_leader_has(three):
    topic = make_topic(three)
    load = Load(three, topic)
    load.wait_acked(5000)
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def test_acked_records_survive_a_killed_leader(three):
    topic = make_topic(three)
    load = Load(three, topic)
    load.wait_acked(1000)
    victim = leader_of(three, topic)
    victim.kill()
    load.wait_acked(3000)
    wait_until(lambda: isr_is(three, topic, {b.id for b in three.brokers} - {victim.id}),
               "the dead broker has left the ISR")
    victim.start()
    wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "it is in sync again")
    load.wait_acked(1000)
    check_all(three, topic, load)


def test_a_broker_that_stops_hands_its_leaderships_over_first(three):
    topic = make_topic(three, partitions=6)
    load = Load(three, topic)
    load.wait_acked(500)
    for broker in three.brokers:
        broker.stop()
        # Metadata follows at once; without the hand-over it would be a session's end later.
        wait_until(lambda: not {broker.id, -1} & {
            p.leader for p in described_by(three, broker, topic).values()}, "all have leaders", 1.5)
        assert "leaderships have moved to other brokers" in broker.log()
        load.wait_acked(500)
        broker.start()
        wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "it is in sync again")
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def test_a_follower_that_stands_still_leaves_the_isr_and_comes_back(three):
    topic = make_topic(three, partitions=1)
    load = Load(three, topic)
    load.wait_acked(500)
    leader = described(three, topic)[0].leader
    follower = next(b for b in three.brokers if b.id != leader)
    # Shorter than its session: only the leader notices.
    follower.process.send(signal.SIGSTOP)
    wait_until(lambda: follower.id not in described_by(three, follower, topic)[0].isrs,
               "the ISR has shrunk")
    load.wait_acked(500)
    follower.process.send(signal.SIGCONT)
    wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "it is in sync again")
    check_all(three, topic, load)


def test_a_group_goes_on_when_its_coordinator_dies(three):
    topic = make_topic(three)
    load = Load(three, topic)
    load.wait_acked(500)
    seen, errors = [], []
    consumer = Consumer({"bootstrap.servers": three.bootstrap, "group.id": "g",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "session.timeout.ms": 6000})
    consumer.subscribe([topic])

    def read(count):
        goal = len(seen) + count

        def more():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                seen.append(int(message.value()))
                if len(seen) % 100 == 0:
                    try:
                        consumer.commit(asynchronous=False)
                    except KafkaException as e:
                        errors.append(str(e))
            return len(seen) >= goal
        wait_until(more, f"{count} more records are read", 60)

    read(300)
    coordinator = next(b for b in three.brokers if b.metric('klamm_groups{state="Stable"}') == 1)
    coordinator.kill()
    load.wait_acked(1000)
    read(500)
    wait_until(lambda: any(b.metric('klamm_groups{state="Stable"}') == 1
                           for b in three.brokers if b is not coordinator),
               "another broker coordinates the group")
    consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
    committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], timeout=30)
    assert sum(max(p.offset, 0) for p in committed) >= len(set(seen))
    consumer.close()
    load.stop()


@pytest.fixture
def slow_sessions(tmp_path, zookeeper):
    """Sessions that outlive the test: only the supervisor ends them in time."""
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "min.insync.replicas": 2, "zookeeper.session.timeout.ms": 60000,
        "klamm.supervisor.hang.timeout.ms": 2000}).start()
    yield c
    end(c)


def test_a_dead_broker_is_replaced_without_waiting_for_its_session(slow_sessions):
    topic = make_topic(slow_sessions, partitions=1)
    load = Load(slow_sessions, topic)
    load.wait_acked(500)
    victim = leader_of(slow_sessions, topic)
    victim.kill()
    killed = time.monotonic()
    load.wait_acked(100)
    assert time.monotonic() - killed < 3, "the session had to expire"
    assert "ended the session of the broker that died" in victim.log()
    victim.start()
    wait_until(lambda: isr_is(slow_sessions, topic, {1, 2, 3}), "it is in sync again")
    check_all(slow_sessions, topic, load)


def test_a_broker_that_hangs_is_killed_and_replaced(slow_sessions):
    topic = make_topic(slow_sessions, partitions=1)
    load = Load(slow_sessions, topic)
    load.wait_acked(500)
    victim = leader_of(slow_sessions, topic)
    victim.process.send(signal.SIGSTOP)
    load.wait_acked(1000)
    wait_until(lambda: not victim.process.running(), "the supervisor has killed it")
    assert "the broker hangs and is killed" in victim.log()
    load.stop()
    check_once_and_in_order(load, consume_all(slow_sessions, topic))


def test_a_consumer_reads_from_the_replica_in_its_own_rack(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"})
    for broker in c.brokers:
        broker.settings["broker.rack"] = f"rack{broker.id}"
    c.start()
    try:
        topic = make_topic(c, partitions=1)
        producer = Producer({"bootstrap.servers": c.bootstrap, "acks": "all"})
        for i in range(2000):
            producer.produce(topic, value=b"%d" % i + b"." * 500)
        assert producer.flush(30) == 0
        leader = described(c, topic)[0].leader
        near = next(b for b in c.brokers if b.id != leader)
        sent = near.metric("klamm_network_sent_bytes_total")
        consumer = Consumer({"bootstrap.servers": c.bootstrap, "group.id": "none",
                             "client.rack": f"rack{near.id}", "enable.auto.commit": False,
                             "fetch.message.max.bytes": 20000})
        consumer.assign([TopicPartition(topic, 0, 0)])
        got = []
        wait_until(lambda: got.extend(consumer.consume(500, 0.2)) or len(got) == 2000, "all is read")
        assert [m.offset() for m in got] == list(range(2000))
        # The first answer told where to read; nearly all came from there.
        assert near.metric("klamm_network_sent_bytes_total") - sent > 2000 * 500 * 0.8
        consumer.close()
    finally:
        end(c)


FAULT_ROUNDS = int(os.environ.get("FAULT_ROUNDS", "6"))


def test_records_survive_one_fault_after_the_other(three):
    """Brokers are killed, stopped in order, and held still, the controller among them; at most one
    is away at a time, and the next comes as soon as all are in sync. FAULT_SEED replays the choice.
    """
    seed = int(os.environ.get("FAULT_SEED", int.from_bytes(os.urandom(4), "big")))
    print(f"FAULT_SEED={seed}")
    chance = random.Random(seed)
    topic = make_topic(three, partitions=4)
    load = Load(three, topic)
    for _ in range(FAULT_ROUNDS):
        victim = chance.choice(three.brokers)
        fault = chance.choice(["kill", "stop", "hold", "kill twice"])
        print(fault, victim.id)
        load.wait_acked(chance.randrange(1, 2000))
        if fault == "hold":  # longer than its session, so that it is replaced while it lives
            victim.process.send(signal.SIGSTOP)
            wait_until(lambda: victim.id not in {
                p.leader for p in described_by(three, victim, topic).values()}, "it is replaced")
            victim.process.send(signal.SIGCONT)
        else:
            victim.stop() if fault == "stop" else victim.kill()
            load.wait_acked(chance.randrange(1, 500))
            victim.start(wait=fault != "kill twice")
            if fault == "kill twice":  # somewhere in its start
                wait_until(lambda: "loading log directory" in victim.log(), "it starts")
                victim.kill()
                victim.start()
        wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "all are in sync again", 60)
    check_all(three, topic, load)
