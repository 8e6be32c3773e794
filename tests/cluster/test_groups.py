"""Consumer groups as stock clients use them: members that come, go, stall and come back."""
import threading
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import wait_until

SETTINGS = {
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 5,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
}


@pytest.fixture
def broker(make_broker):
    return make_broker(SETTINGS).start()


def make_topic(broker, name="t", partitions=4):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
    return name


def produce(broker, topic, count, first=0):
    """Records "first".."first+count-1", each with its number as key."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    for i in range(first, first + count):
        producer.produce(topic, key=str(i), value=str(i))
        producer.poll(0)
    assert producer.flush(60) == 0


class Member:
    """A consumer on a thread of its own; everything it saw."""

    def __init__(self, broker, group, topic, stop_by="close", **config):
        self.consumer = Consumer({
            "bootstrap.servers": broker.bootstrap, "group.id": group,
            "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200, "enable.auto.commit": False, **config})
        self.assigned = set()
        self.rebalances = 0
        self.seen = []
        self.errors = []
        self.running = True
        self.leaves = stop_by == "close"
        cooperative = "cooperative" in config.get("partition.assignment.strategy", "")
        self.incremental = cooperative
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_assign(self, consumer, partitions):
        self.rebalances += 1
        if self.incremental:
            self.assigned |= {p.partition for p in partitions}
            consumer.incremental_assign(partitions)
        else:
            self.assigned = {p.partition for p in partitions}
            consumer.assign(partitions)

    def on_revoke(self, consumer, partitions):
        if self.incremental:
            self.assigned -= {p.partition for p in partitions}
            consumer.incremental_unassign(partitions)
        else:
            self.assigned = set()
            consumer.unassign()

    def run(self):
        while self.running:
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                self.errors.append(str(message.error()))
                continue
            self.seen.append(message.value().decode())
            try:
                self.consumer.commit(message=message, asynchronous=False)
            except KafkaException as e:
                self.errors.append(str(e))
        if self.leaves:
            self.consumer.close()

    def stop(self):
        self.running = False
        self.thread.join(30)
        assert not self.thread.is_alive()


def all_assigned(members, partitions):
    """Each partition has one owner, and each member something, as far as there is enough."""
    owned = [p for m in members for p in m.assigned]
    busy = sum(1 for m in members if m.assigned)
    return sorted(owned) == list(range(partitions)) and busy == min(len(members), partitions)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_the_partitions_and_each_record_is_read_once(broker, strategy):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic, **{"partition.assignment.strategy": strategy})
               for _ in range(3)]
    wait_until(lambda: all_assigned(members, 4), "all partitions are assigned once")
    produce(broker, topic, 500)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 500, "all records are read")
    members[0].stop()
    wait_until(lambda: all_assigned(members[1:], 4), "the others take over")
    produce(broker, topic, 500, first=500)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 1000, "all records are read")
    for m in members[1:]:
        m.stop()
    seen = [v for m in members for v in m.seen]
    assert sorted(map(int, seen)) == list(range(1000)), [m.errors for m in members]
    assert broker.errors() == []
