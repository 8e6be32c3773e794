"""python3-confluent-kafka at scale: $COUNT keyed records with headers, every codec, plaintext and TLS.

What is read back is compared whole: key, value, headers and order, partition by partition. A record
is made from its number alone, so nothing but the numbers is kept.
"""
import bisect
import hashlib
import os
import struct
import sys
import time
import zlib
from array import array
from pathlib import Path

import pytest
from confluent_kafka import (Consumer, KafkaError, KafkaException, Producer, TopicPartition,
                             OFFSET_BEGINNING, OFFSET_END)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from conftest import certificates, make_broker, wait_until  # noqa: E402,F401  (fixtures)
from test_records import create  # noqa: E402

COUNT = int(os.environ.get("COUNT", "1000000"))
PARTITIONS = 6
BASE_MS = 1700000000000
STALL_S = 60  # nothing comes for so long: it will not come
FILLER = "".join(f"{i:x}" for i in range(400))


def record(i):
    """(key, value, headers) of the i-th record: tombstones, empty values, headers once, twice, empty.

    No header is null: confluent-kafka 1.7 lets go of None once too often for each that it reads, and
    some hundred thousand of them end the interpreter.
    """
    key = b"key-%d" % (i * 7919 % (COUNT // 10 + 1))
    headers = [("n", b"%d" % i)]
    if i % 3 == 0:
        headers += [("again", b"first"), ("again", b"\x00\xff" * (i % 5)), ("empty", b"")]
    if i % 1000 == 17:
        return key, None, headers
    if i % 1000 == 18:
        return key, b"", headers
    return key, f"value {i} {FILLER[i % 97:i % 97 + i % 211]}".encode(), headers


def partition_of(key):
    """librdkafka's partitioner "consistent"."""
    return zlib.crc32(key) % PARTITIONS


class Digest:
    """Of a row of records, in their order; null and empty differ."""

    def __init__(self):
        self.hash = hashlib.blake2b(digest_size=16)

    def add(self, key, value, headers):
        parts = [key, value]
        for name, content in headers:
            parts += [name.encode(), content]
        lengths = [-1 if p is None else len(p) for p in parts]
        self.hash.update(struct.pack(f"<{len(lengths)}i", *lengths))
        self.hash.update(b"".join(p for p in parts if p))

    def text(self):
        return self.hash.hexdigest()


class Sent:
    """What was produced: the numbers of each partition's records, in order, and their digest."""

    def __init__(self):
        self.numbers = [array("l") for _ in range(PARTITIONS)]
        self.digests = [Digest() for _ in range(PARTITIONS)]

    def add(self, i, key, value, headers):
        p = partition_of(key)
        self.numbers[p].append(i)
        self.digests[p].add(key, value, headers)

    def texts(self):
        return [d.text() for d in self.digests]


def send_all(client, topic, codec):
    failed, done = [], [0]

    def delivered(err, _msg):
        done[0] += 1
        if err is not None:
            failed.append(str(err))

    producer = Producer({**client, "enable.idempotence": True, "compression.type": codec,
                         "partitioner": "consistent", "linger.ms": 20,
                         "queue.buffering.max.messages": 200000})
    sent = Sent()
    for i in range(COUNT):
        key, value, headers = record(i)
        while True:
            try:
                producer.produce(topic, key=key, value=value, headers=headers, timestamp=BASE_MS + i,
                                 on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        if i % 1000 == 0:
            producer.poll(0)
        sent.add(i, key, value, headers)
    assert producer.flush(STALL_S) == 0 and not failed, failed[:3]
    assert done[0] == COUNT
    return sent


def messages(consumer, count):
    """The next `count` records."""
    got, last = 0, time.monotonic()
    while got < count:
        batch = consumer.consume(min(10000, count - got), 0.2)
        for msg in batch:
            if msg.error():
                raise KafkaException(msg.error())
            yield msg
        got += len(batch)
        if batch:
            last = time.monotonic()
        assert time.monotonic() - last < STALL_S, f"{got} of {count} records"


def content(msg):
    return msg.key(), msg.value(), msg.headers() or []


def consumer_of(client, **more):
    return Consumer({**client, "group.id": "unused", "enable.auto.commit": False,
                     "fetch.wait.max.ms": 20, **more})


def check_from_the_beginning(consumer, topic, sent):
    digests = [Digest() for _ in range(PARTITIONS)]
    at = [0] * PARTITIONS
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    for msg in messages(consumer, COUNT):
        p = msg.partition()
        assert msg.offset() == at[p], "offsets follow each other"
        at[p] += 1
        digests[p].add(*content(msg))
    assert at == [len(n) for n in sent.numbers]
    assert [d.text() for d in digests] == sent.texts()


def check_records_from(consumer, sent, partition, offset, count):
    """The next records are those of the partition from the offset on."""
    for k, msg in enumerate(messages(consumer, count)):
        number = sent.numbers[partition][offset + k]
        assert (msg.partition(), msg.offset()) == (partition, offset + k)
        assert msg.timestamp()[1] == BASE_MS + number
        assert content(msg) == record(number)


def check_seeks(client, consumer, topic, sent):
    for p in range(PARTITIONS):
        end = len(sent.numbers[p])
        some = min(1000, end // 2)
        assert consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) == (0, end)
        consumer.assign([TopicPartition(topic, p, end // 2)])       # by offset
        check_records_from(consumer, sent, p, end // 2, some)
        consumer.seek(TopicPartition(topic, p, end // 3))           # while it runs
        check_records_from(consumer, sent, p, end // 3, some)
        number = COUNT * 2 // 3                                     # by time
        found, = consumer.offsets_for_times([TopicPartition(topic, p, BASE_MS + number)], timeout=30)
        assert found.offset == bisect.bisect_left(sent.numbers[p], number)
        consumer.assign([found])
        check_records_from(consumer, sent, p, found.offset, min(some, end - found.offset))
        late, = consumer.offsets_for_times([TopicPartition(topic, p, BASE_MS + COUNT)], timeout=30)
        assert late.offset == OFFSET_END
    reader = consumer_of(client, **{"enable.partition.eof": True})
    for p in range(PARTITIONS):
        reader.assign([TopicPartition(topic, p, OFFSET_END)])
        msg = wait_until(lambda: reader.poll(0.5), "the end")
        assert msg.error().code() == KafkaError._PARTITION_EOF
        assert (msg.partition(), msg.offset()) == (p, len(sent.numbers[p]))
    reader.close()


@pytest.fixture(params=["plaintext", "TLS"])
def client(request, make_broker, certificates):  # noqa: F811
    """Settings of a client, with a broker of its own."""
    if request.param == "plaintext":
        return {"bootstrap.servers": make_broker().start().bootstrap}
    broker = make_broker({"ssl.keystore.location": certificates / "broker.pem",
                          "ssl.truststore.location": certificates / "ca.pem",
                          "security.inter.broker.protocol": "SSL"})
    broker.settings["listeners"] = f"SSL://127.0.0.1:{broker.port}"
    return {"bootstrap.servers": broker.start().bootstrap, "security.protocol": "ssl",
            "ssl.ca.location": str(certificates / "ca.pem")}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_sent_is_read_back_whole_and_from_anywhere(client, codec):
    # The records bear old times, which retention would go by.
    create(client["bootstrap.servers"], "t", PARTITIONS, {"retention.ms": "-1"}, client)
    sent = send_all(client, "t", codec)
    assert sum(len(n) for n in sent.numbers) == COUNT and all(sent.numbers)
    consumer = consumer_of(client)
    check_from_the_beginning(consumer, "t", sent)
    check_seeks(client, consumer, "t", sent)
    consumer.close()
