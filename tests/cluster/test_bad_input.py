"""What comes from outside and is wrong: each closes that connection alone, with one log line."""
import socket
import ssl
import struct
import subprocess
import time

import pytest

from conftest import Broker, wait_until
from test_records import consume, create, produce
from wire import Connection

PRODUCE, METADATA, API_VERSIONS = 0, 3, 18


def connect(broker):
    return socket.create_connection(("127.0.0.1", broker.port), 10)


def request(key, version, body=b"", correlation=7, client=b"test"):
    header = struct.pack(">hhih", key, version, correlation, len(client)) + client
    return struct.pack(">i", len(header) + len(body)) + header + body


def answer(s):
    """One frame, or None when the broker closed."""
    def exactly(n):
        data = b""
        while len(data) < n:
            try:
                chunk = s.recv(n - len(data))
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            data += chunk
        return data
    size = exactly(4)
    return None if size is None else exactly(struct.unpack(">i", size)[0])


def assert_closed_with_line(broker, data, sentence):
    before = broker.log().count(sentence)
    with connect(broker) as s:
        s.sendall(data)
        assert answer(s) is None
    wait_until(lambda: broker.log().count(sentence) == before + 1, f"the line '{sentence}'")
    with connect(broker) as s:  # nobody else notices
        s.sendall(request(API_VERSIONS, 0))
        assert answer(s) is not None


@pytest.mark.parametrize("data", [
    b"\xff\xff\xff\xff",                            # negative
    b"\x7f\xff\xff\xff",                            # larger than socket.request.max.bytes
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",           # another protocol
], ids=["negative", "oversized", "http"])
def test_an_impossible_frame_size_closes_the_connection(standalone, data):
    with connect(standalone) as s:
        s.sendall(data)
        assert answer(s) is None
    wait_until(lambda: "WARN net:" in standalone.log(), "a line about the frame")
    assert standalone.is_ready()


def test_a_truncated_frame_is_forgotten_with_its_connection(standalone):
    with connect(standalone) as s:
        s.sendall(request(METADATA, 1)[:-3])
    assert standalone.is_ready()


def test_an_unknown_api_or_version_closes_the_connection(standalone):
    sentence = "closed a connection for a request that is not served"
    assert_closed_with_line(standalone, request(999, 0), sentence)
    assert_closed_with_line(standalone, request(METADATA, 99), sentence)
    assert_closed_with_line(standalone, request(-1, 0), sentence)
    assert_closed_with_line(standalone, b"\0\0\0\0", sentence)


def test_an_unknown_version_of_apiversions_is_answered_in_version_0(standalone):
    with connect(standalone) as s:
        s.sendall(request(API_VERSIONS, 77, b"\0whatever"))
        got = answer(s)
    correlation, error, count, key, low, high = struct.unpack(">ihihhh", got)
    assert (correlation, error, count, key, low) == (7, 35, 1, API_VERSIONS, 0)
    assert high >= 3


def test_a_body_that_does_not_decode_closes_the_connection(standalone):
    sentence = "closed a connection for a request that does not decode"
    huge_count = struct.pack(">i", 0x7FFFFFFF)
    assert_closed_with_line(standalone, request(METADATA, 1, huge_count), sentence)
    assert_closed_with_line(standalone, request(METADATA, 1, b"\0\0\0\1\x7f\xff"), sentence)
    assert_closed_with_line(standalone, request(PRODUCE, 3, b"\xff\xff\0\1"), sentence)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def batch(records=b"\x10\0\0\0\x02k\x02v\0", count=1, last_delta=0, attributes=0, crc=None,
          base_offset=0, length=None):
    now_ms = int(time.time() * 1000)  # what is old may be deleted at any moment
    body = struct.pack(">hiqqqhii", attributes, last_delta, now_ms, now_ms, -1, -1, -1,
                       count) + records
    crc = crc32c(body) if crc is None else crc
    size = len(body) + 9 if length is None else length
    return struct.pack(">qiibI", base_offset, size, -1, 2, crc) + body


def produce_batch(broker, records):
    """The error code of one partition of topic t."""
    body = struct.pack(">hhi", -1, 1, 10000) + struct.pack(">i", 1) + b"\0\1t"
    body += struct.pack(">iii", 1, 0, len(records)) + records
    with connect(broker) as s:
        s.sendall(request(PRODUCE, 7, body))
        got = answer(s)
    assert got is not None
    return struct.unpack_from(">h", got, 4 + 4 + 3 + 4 + 4)[0]


@pytest.mark.parametrize("records, error", [
    (batch(), 0),
    (batch(crc=1), 2),                                          # CORRUPT_MESSAGE
    (batch(count=5), 87),                                       # counts that are false
    (batch(count=0), 87),
    (batch(last_delta=7), 87),
    (batch(count=-1), 87),
    (batch(base_offset=3), 87),
    (batch(attributes=0x20), 87),                               # a control batch
    (batch(records=b"\x7e\0\0\0\x02k\x02v\0"), 87),             # a record longer than the batch
    (batch(records=b"\x10\0\0\0\xfe\xff\xff\xff\x0fk\x02v\0"), 87),
    (b"", 87),
    (batch() + batch(), 87),
], ids=["good", "crc", "count-high", "count-zero", "delta", "count-negative", "base-offset", "control",
        "record-length", "key-length", "empty", "two-batches"])
def test_a_batch_that_is_wrong_gets_the_protocols_error_and_leaves_nothing(standalone, records,
                                                                           error):
    create(standalone.bootstrap, "t")
    assert produce_batch(standalone, records) == error
    assert len(consume(standalone.bootstrap, "t", 1, 1 if error == 0 else 0)) == (error == 0)
    produce(standalone.bootstrap, "t", [("a", "b", None)])
    got = consume(standalone.bootstrap, "t", 1, 1 + (error == 0))
    assert [m.offset() for m in got] == list(range(1 + (error == 0)))


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_broken_compression_is_refused(standalone, codec):
    create(standalone.bootstrap, "t")
    assert produce_batch(standalone, batch(records=b"this is not compressed", attributes=codec)) != 0
    assert standalone.is_ready()


def test_a_decompression_bomb_is_refused_without_the_memory(standalone):
    import gzip
    create(standalone.bootstrap, "t")
    bomb = gzip.compress(b"\0" * (1 << 30), 9)  # a megabyte that means a gigabyte
    before = standalone.rss_kib()
    assert produce_batch(standalone, batch(records=bomb[:1000000], attributes=1)) != 0
    assert standalone.rss_kib() - before < 64 * 1024


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "x" * 250])
def test_an_invalid_topic_name_is_refused(standalone, name):
    done = standalone.klamm("topic", "create", name, "--partitions", "1")
    assert done.returncode != 0


def test_names_that_collide_in_metrics_are_refused(standalone):
    create(standalone.bootstrap, "a.b")
    with pytest.raises(Exception, match="collide"):
        create(standalone.bootstrap, "a_b")


def tls_broker(make_broker, certificates, config=None):
    broker = make_broker({"ssl.keystore.location": certificates / "broker.pem", **(config or {})})
    broker.settings["listeners"] = f"SSL://127.0.0.1:{broker.port}"
    broker.settings["security.inter.broker.protocol"] = "SSL"
    broker.settings["ssl.truststore.location"] = certificates / "ca.pem"
    return broker.start()


def test_records_travel_over_tls(make_broker, certificates):
    broker = tls_broker(make_broker, certificates)
    tls = {"security.protocol": "ssl", "ssl.ca.location": str(certificates / "ca.pem")}
    create(broker.bootstrap, "t", extra=tls)
    records = [(str(i), "v" * 1000, None) for i in range(20000)]
    produce(broker.bootstrap, "t", records, tls)
    assert len(consume(broker.bootstrap, "t", 1, 20000, extra=tls)) == 20000


def test_plaintext_to_a_tls_port_closes_with_one_line(make_broker, certificates):
    broker = tls_broker(make_broker, certificates)
    with connect(broker) as s:
        s.sendall(request(API_VERSIONS, 0))
        while s.recv(100):
            pass
    lines = wait_until(lambda: [l for l in broker.log().splitlines() if " WARN net: " in l],
                       "the line")
    assert len(lines) == 1 and "TLS" in lines[0]


def test_tls_to_a_plaintext_port_closes_with_one_line(standalone):
    context = ssl.create_default_context()
    with connect(standalone) as s, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(s, server_hostname="localhost")
    lines = wait_until(lambda: [l for l in standalone.log().splitlines() if " WARN net: " in l],
                       "the line")
    assert len(lines) == 1 and "TLS" in lines[0]


def test_a_client_that_fails_its_tls_handshake_is_closed_after_the_delay(make_broker, certificates):
    delay_s = 0.7
    broker = tls_broker(make_broker, certificates,
                        {"connection.failed.authentication.delay.ms": int(delay_s * 1000)})
    with connect(broker) as s:
        started = time.monotonic()
        s.sendall(b"\x16\x03\x01\x00\x05hello")
        assert s.recv(100)[:1] == b"\x15"               # the alert does not wait
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
        assert time.monotonic() - started >= delay_s


def run_klammd(broker, timeout_s=30):
    from conftest import BUILD
    return subprocess.run([str(BUILD / "klammd"), str(broker.write_config())], timeout=timeout_s,
                          capture_output=True, text=True)


def test_a_data_directory_in_use_is_refused(standalone, make_broker):
    other = make_broker({"log.dirs": standalone.data})
    done = run_klammd(other)
    assert done.returncode == 1
    assert "in use by another process" in done.stderr


def test_a_data_directory_of_another_broker_is_refused(standalone, make_broker):
    standalone.stop()
    other = make_broker({"log.dirs": standalone.data}, broker_id=5)
    done = run_klammd(other)
    assert done.returncode == 1
    assert "another broker" in done.stderr


def test_every_mistake_in_the_configuration_is_said_before_anything_is_touched(make_broker):
    broker = make_broker({"num.network.threads": "0", "compression.type": "rar",
                          "log.retention.check.interval.ms": "soon", "process.roles": "broker"})
    done = run_klammd(broker)
    assert done.returncode == 1
    for key in ("num.network.threads=0", "compression.type=rar",
                "log.retention.check.interval.ms=soon", ):
        assert key in done.stderr
    assert not broker.data.exists()


def test_a_secured_configuration_is_not_run_without_its_security(make_broker):
    done = run_klammd(make_broker(
        {"authorizer.class.name": "kafka.security.authorizer.AclAuthorizer"}))
    assert done.returncode == 1 and "ACLs" in done.stderr


def test_a_session_of_very_many_partitions_is_answered(standalone):
    """None of them exists: each is looked at with each fetch. A follower may have as many."""
    count = 20000
    partitions = [{"Partition": p, "PartitionMaxBytes": 1000} for p in range(count)]
    with Connection(standalone.port) as c:
        whole = c.call("Fetch", 12, {"ReplicaId": -1, "MaxWaitMs": 500, "MinBytes": 1,
                                     "SessionEpoch": 0, "Topics": [
            {"Topic": "t", "Partitions": partitions}]})
        assert sum(len(t["Partitions"]) for t in whole["Responses"]) == count
        assert whole["SessionId"] > 0
        for epoch in (1, 2):
            news = c.call("Fetch", 12, {"ReplicaId": -1, "MaxWaitMs": 500, "MinBytes": 1,
                                        "SessionId": whole["SessionId"], "SessionEpoch": epoch,
                                        "Topics": []})
            assert (news["ErrorCode"], news["SessionId"]) == (0, whole["SessionId"])
            assert sum(len(t["Partitions"]) for t in news["Responses"]) == count
