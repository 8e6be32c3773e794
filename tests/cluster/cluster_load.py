"""A topic under load, and what must hold of it afterwards.

The load is an idempotent producer with acks=all. The check goes by what it was told: each record that
was acknowledged is read back once, those of one key in order; and all replicas are the same bytes.
"""
import signal
import threading
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import wait_until


def admin(cluster):
    return AdminClient({"bootstrap.servers": cluster.bootstrap})


def make_topic(cluster, name="t", partitions=3, replicas=3):
    client = admin(cluster)
    client.create_topics([NewTopic(name, partitions, replicas)])[name].result(30)
    wait_until(lambda: [len(p.isrs) for p in described(cluster, name).values()] ==
               [replicas] * partitions, "all replicas are in sync")
    return name


def create_on(asked, name, assignment):
    """One broker is asked. assignment: the replicas of each partition."""
    client = AdminClient({"bootstrap.servers": asked.bootstrap})
    client.create_topics([NewTopic(name, len(assignment), replica_assignment=assignment)])[
        name].result(30)


def make_topic_on(cluster, name, assignment):
    create_on(cluster, name, assignment)

    def in_sync():
        known = described(cluster, name)
        return len(known) == len(assignment) and all(
            set(p.isrs) == set(assignment[n]) for n, p in known.items())
    wait_until(in_sync, "all are in sync")
    return name


def isr_of(cluster, asked, topic="t"):
    """As one broker says."""
    client = AdminClient({"bootstrap.servers": asked.bootstrap})
    return set(client.list_topics(topic, timeout=10).topics[topic].partitions[0].isrs)


def described(cluster, topic):
    return admin(cluster).list_topics(topic, timeout=10).topics[topic].partitions


def described_by(cluster, absent, topic):
    """As the brokers other than `absent` say."""
    others = ",".join(b.bootstrap for b in cluster.brokers if b is not absent)
    client = AdminClient({"bootstrap.servers": others})
    return client.list_topics(topic, timeout=10).topics[topic].partitions


def isr_is(cluster, topic, ids):
    """By one broker, whichever answers; one that is just back may know nothing yet."""
    isrs = [set(p.isrs) for p in described(cluster, topic).values()]
    return isrs != [] and all(isr == set(ids) for isr in isrs)


KEYS = 12  # so many that each of three or four partitions gets some


def is_whole(cluster, topic):
    """All replicas are in sync, and all brokers say so and name the same leaders: one that was cut off
    may not know yet what has become of it, and clients would believe it."""
    views = set()
    for broker in cluster.brokers:
        client = AdminClient({"bootstrap.servers": broker.bootstrap})
        view = client.list_topics(topic, timeout=10).topics[topic].partitions
        if not view or any(set(p.isrs) != set(p.replicas) for p in view.values()):
            return False
        views.add(tuple(sorted((n, p.leader) for n, p in view.items())))
    return len(views) == 1


def wait_whole(cluster, topic):
    wait_until(lambda: is_whole(cluster, topic), "all replicas are in sync, and all brokers know")


class Load:
    """An idempotent producer with acks=all on a thread; what was acknowledged, and where it is.

    pause_s after each record keeps a load that lasts from becoming more than the check can read;
    settings are more of the client's.
    """

    def __init__(self, cluster, topic, pause_s=0, settings=None):
        self.producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all",
                                  "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120000, **(settings or {})})
        self.topic, self.next, self.acked, self.failed = topic, 0, {}, []
        self.pause_s = pause_s
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_delivery(self, error, message):
        if error is not None:
            self.failed.append(str(error))
        else:
            self.acked[int(message.value())] = (message.partition(), message.offset())

    def run(self):
        while self.running:
            if len(self.producer) < 1000:
                self.producer.produce(self.topic, key=str(self.next % KEYS), value=str(self.next),
                                      on_delivery=self.on_delivery)
                self.next += 1
            self.producer.poll(self.pause_s if len(self.producer) < 1000 else 0.01)

    def wait_acked(self, more):
        goal = len(self.acked) + more
        wait_until(lambda: len(self.acked) >= goal or self.failed, f"{more} more acknowledged", 60)

    def stop(self):
        self.running = False
        self.thread.join(30)
        assert self.producer.flush(60) == 0
        assert self.failed == []


def watermarks(consumer, partition):
    """Asked again while the client has yet to find the leader."""
    def ask():
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException as e:
            assert e.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION, e
            return None
    return wait_until(ask, f"the offsets of {partition}")


def consume_all(cluster, topic):
    """{partition: values in order}, from the beginning to the end."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "none",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    got = {}
    for number in described(cluster, topic):
        low, high = watermarks(consumer, TopicPartition(topic, number))
        got[number] = []
        consumer.assign([TopicPartition(topic, number, low)])
        while len(got[number]) < high - low:
            messages = wait_until(lambda: consumer.consume(1000, 1), f"more of {number} is read")
            assert [m.error() for m in messages if m.error() is not None] == []
            got[number] += [int(m.value()) for m in messages]
    consumer.close()
    return got


def check_once_and_in_order(load, got):
    """Each acknowledged record is there once, where the producer was told; those of one key are in
    the order of sending."""
    everything = [v for values in got.values() for v in values]
    assert len(everything) == len(set(everything)), "a record is there twice"
    lost = {v: load.acked[v] for v in sorted(set(load.acked) - set(everything))[:10]}
    assert not lost, f"acknowledged at (partition, offset), and lost: {lost}"
    for value, (partition, offset) in load.acked.items():
        # None: sent again when the broker had it already, and no more knew where.
        assert offset is None or got[partition][offset] == value, "a record is elsewhere"
    for values in got.values():
        for key in range(KEYS):
            of_key = [v for v in values if v % KEYS == key]
            assert of_key == sorted(of_key), f"records of key {key} are out of order"


def segments(broker, topic, partition):
    path = Path(broker.data) / f"{topic}-{partition}"
    return {f.name: f.read_bytes() for f in sorted(path.glob("*.log"))}


def assert_replicas_identical(cluster, topic):
    for number, partition in described(cluster, topic).items():
        holders = [b for b in cluster.brokers if b.id in partition.replicas]
        wait_until(lambda: len({tuple(segments(b, topic, number).items())
                                for b in holders}) == 1,
                   f"the replicas of {topic}-{number} are the same, byte for byte")


def leader_of(cluster, topic):
    """The broker that leads the topic's first partition."""
    known = wait_until(lambda: described(cluster, topic).get(0), "a broker that knows the topic")
    return next(b for b in cluster.brokers if b.id == known.leader)


def check_all(cluster, topic, load):
    """Nothing that was acknowledged is lost, and the replicas are the same."""
    load.stop()
    wait_whole(cluster, topic)
    check_once_and_in_order(load, consume_all(cluster, topic))
    assert_replicas_identical(cluster, topic)


def end(cluster):
    for broker in cluster.brokers:
        if broker.process is not None and broker.process.running():
            broker.process.send(signal.SIGCONT)
            broker.process.stop(signal.SIGKILL)
