"""Records go in and come out: every codec, keys, headers, offsets, times, several partitions."""
import subprocess
import time

import pytest
from confluent_kafka import (Consumer, KafkaError, KafkaException, Producer, TopicPartition,
                             OFFSET_BEGINNING, OFFSET_END)
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import wait_until


# An AdminClient that is freed while its last event is delivered takes the process down.
ADMINS = []


def create(bootstrap, name, partitions=1, config=None, extra=None):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **(extra or {})})
    ADMINS.append(admin)
    future = admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name]
    future.result(30)


def produce(bootstrap, topic, records, extra=None):
    """records: (key, value, headers); returns the offsets by partition."""
    failures = []
    offsets = {}

    def on_delivery(err, msg):
        if err:
            failures.append(err)
        else:
            offsets.setdefault(msg.partition(), []).append(msg.offset())

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                         "linger.ms": 5, "log_level": 0, **(extra or {})})
    for key, value, headers in records:
        while True:
            try:
                producer.produce(topic, key=key, value=value, headers=headers,
                                 on_delivery=on_delivery)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not failures, failures[:3]
    return offsets


def consume(bootstrap, topic, partitions, count, offset=OFFSET_BEGINNING, extra=None):
    """The first `count` records of the partitions from an offset on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused",
                         "enable.auto.commit": False, **(extra or {})})
    consumer.assign([TopicPartition(topic, p, offset) for p in range(partitions)])
    got = []
    deadline = time.monotonic() + 60
    while len(got) < count:
        for msg in consumer.consume(min(10000, count - len(got)), 1):
            if msg.error():
                raise KafkaException(msg.error())
            got.append(msg)
        assert time.monotonic() < deadline, f"{len(got)} of {count} records"
    consumer.close()
    return got


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_keeps_keys_values_and_headers(standalone, codec):
    create(standalone.bootstrap, "t", 3)
    records = [(f"key{i}", f"value {i} " + "x" * (i % 500), [("n", str(i)), ("empty", "")])
               for i in range(20000)]
    produce(standalone.bootstrap, "t", records, {"compression.type": codec})
    got = consume(standalone.bootstrap, "t", 3, len(records))
    want = {k: (v, h) for k, v, h in records}
    assert len(got) == len(want)
    for msg in got:
        value, headers = want.pop(msg.key().decode())
        assert msg.value().decode() == value
        assert msg.headers() == [("n", headers[0][1].encode()), ("empty", b"")]
    assert not want


def test_a_consumer_seeks_to_the_beginning_the_end_an_offset_and_a_time(standalone):
    create(standalone.bootstrap, "t")
    base_ms = int(time.time() * 1000) - 3600 * 1000  # older ones are for retention
    producer = Producer({"bootstrap.servers": standalone.bootstrap})
    for i in range(1000):
        producer.produce("t", value=str(i), timestamp=base_ms + i * 1000)
    assert producer.flush(30) == 0
    b = standalone.bootstrap
    assert consume(b, "t", 1, 1)[0].value() == b"0"
    assert [m.value() for m in consume(b, "t", 1, 3, offset=500)] == [b"500", b"501", b"502"]
    consumer = Consumer({"bootstrap.servers": b, "group.id": "unused", "enable.auto.commit": False})
    found = consumer.offsets_for_times([TopicPartition("t", 0, base_ms + 250500)], timeout=30)
    assert found[0].offset == 251
    assert consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=30) == (0, 1000)
    consumer.close()
    consumer = Consumer({"bootstrap.servers": b, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True})
    consumer.assign([TopicPartition("t", 0, OFFSET_END)])
    eof = wait_until(lambda: consumer.poll(0.5), "the consumer stands at the end")
    assert eof.error() and eof.error().code() == KafkaError._PARTITION_EOF
    producer.produce("t", value="new")
    producer.flush(30)
    assert wait_until(lambda: consumer.poll(0.5), "the new record").value() == b"new"
    consumer.close()


def test_a_long_poll_answers_as_soon_as_there_is_a_record(standalone):
    create(standalone.bootstrap, "t")
    consumer = Consumer({"bootstrap.servers": standalone.bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "fetch.wait.max.ms": 20000})
    consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
    assert consumer.poll(1) is None
    started = time.monotonic()
    produce(standalone.bootstrap, "t", [(None, "x", None)])
    assert consumer.poll(15).value() == b"x"
    assert time.monotonic() - started < 10
    consumer.close()


def test_a_restart_in_order_recovers_nothing_and_keeps_all(standalone):
    create(standalone.bootstrap, "t", 4)
    records = [(str(i), str(i), None) for i in range(5000)]
    produce(standalone.bootstrap, "t", records)
    standalone.restart()
    assert len(consume(standalone.bootstrap, "t", 4, 5000)) == 5000
    assert "stopped=clean" in standalone.log().split("stopped broker")[-1]
    produce(standalone.bootstrap, "t", records)
    assert len(consume(standalone.bootstrap, "t", 4, 10000)) == 10000


def test_kcat_writes_and_reads(standalone):
    b = standalone.bootstrap
    create(b, "t")
    subprocess.run(["kcat", "-b", b, "-P", "-t", "t", "-K", ":", "-z", "lz4"],
                   input=b"a:1\nb:2\nc:3\n", check=True, timeout=60)
    out = subprocess.run(["kcat", "-b", b, "-C", "-t", "t", "-e", "-q", "-f", "%k=%s@%o\\n"],
                         capture_output=True, check=True, timeout=60).stdout
    assert out == b"a=1@0\nb=2@1\nc=3@2\n"


def test_acked_records_survive_kill_9_once_and_in_order(standalone):
    """An idempotent producer under load; the broker is killed and started again, three times."""
    b = standalone.bootstrap
    create(b, "t", 2)
    acked = {0: [], 1: []}

    def on_delivery(err, msg):
        if err is None:
            acked[msg.partition()].append((msg.offset(), int(msg.value())))

    producer = Producer({"bootstrap.servers": b, "enable.idempotence": True, "linger.ms": 1,
                         "message.timeout.ms": 120000, "reconnect.backoff.max.ms": 200})
    sent = 0
    for _ in range(3):
        start = len(acked[0]) + len(acked[1])
        while len(acked[0]) + len(acked[1]) < start + 3000:
            if len(producer) < 10000:
                producer.produce("t", value=str(sent), partition=sent % 2,
                                 on_delivery=on_delivery)
                sent += 1
            producer.poll(0 if len(producer) < 10000 else 0.01)
        standalone.kill()
        standalone.start()
    assert producer.flush(120) == 0
    total = len(acked[0]) + len(acked[1])
    assert total == sent
    got = {0: [], 1: []}
    for msg in consume(b, "t", 2, total):
        got[msg.partition()].append((msg.offset(), int(msg.value())))
    for p in (0, 1):
        assert got[p] == sorted(acked[p])
        values = [v for _, v in got[p]]
        assert values == sorted(values), "out of order"
        assert len(set(values)) == len(values), "a record is there twice"
