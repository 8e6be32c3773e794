"""The disk contract, against Apache Kafka 3.9 itself: it reads what we wrote, and the reverse.

Needs Kafka's jars in the folder KAFKA_JARS; tests/interop/run.sh fetches them. Skipped without.
"""
import glob
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from conftest import Broker, Process, ZooKeeper, free_port, wait_until  # noqa: E402
from test_records import consume, create, produce  # noqa: E402

JARS = os.environ.get("KAFKA_JARS", "")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
pytestmark = pytest.mark.skipif(not glob.glob(f"{JARS}/kafka_2.13-3.9*.jar"),
                                reason="KAFKA_JARS has no Kafka 3.9")

LOG4J = """log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


class Kafka:
    """Apache Kafka on a data directory."""

    def __init__(self, path, data, zookeeper, broker_id=1, config=""):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.data, self.id = data, broker_id
        self.port = free_port()
        self.properties = self.path / "kafka.properties"
        self.properties.write_text(
            f"broker.id={broker_id}\nlisteners=PLAINTEXT://127.0.0.1:{self.port}\n"
            f"zookeeper.connect={zookeeper}\nlog.dirs={data}\n"
            "inter.broker.protocol.version=3.9\noffsets.topic.replication.factor=1\n"
            f"zookeeper.session.timeout.ms=6000\n{config}\n")
        (self.path / "log4j.properties").write_text(LOG4J)
        self.process = None
        self.starts = 0

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.starts += 1  # a log of its own: an older life's lines must not count
        self.process = Process(
            ["java", "-Xmx512m", f"-Dlog4j.configuration=file:{self.path}/log4j.properties", "-cp",
             f"{JARS}/*", "kafka.Kafka", self.properties], self.path / f"kafka-{self.starts}.log")
        wait_until(lambda: "started (kafka.server.KafkaServer)" in self.process.text() or
                   not self.process.running(), "Kafka has started", 120)
        assert self.process.running(), self.process.text()[-3000:]
        return self

    def stop(self, number=signal.SIGTERM):
        self.process.stop(number, 120)


@pytest.fixture
def world(tmp_path):
    zookeeper = ZooKeeper(tmp_path / "zookeeper")
    broker = Broker(tmp_path / "broker", 1, zookeeper.connect,
                    {"log.segment.bytes": 1000000, "log.index.interval.bytes": 4096})
    kafka = Kafka(tmp_path, broker.data, zookeeper.connect)
    yield broker, kafka
    for process in (broker.process, kafka.process, zookeeper.process):
        if process is not None and process.running():
            process.stop(signal.SIGKILL)


def fill(bootstrap, count=20000):
    for codec in CODECS:
        create(bootstrap, f"t-{codec}", 2)
        produce(bootstrap, f"t-{codec}",
                [(f"k{i}", "v" * 100 + str(i), [("h", "x")]) for i in range(count)],
                {"compression.type": codec, "batch.num.messages": 500})


def add(bootstrap, count):
    for codec in CODECS:
        produce(bootstrap, f"t-{codec}", [(f"k{i}", f"more {i}", None) for i in range(count)],
                {"compression.type": codec})


def assert_all(bootstrap, count):
    for codec in CODECS:
        got = consume(bootstrap, f"t-{codec}", 2, count)
        for p in (0, 1):
            offsets = [m.offset() for m in got if m.partition() == p]
            assert offsets == list(range(len(offsets)))


def test_dumplogsegments_reads_every_file_klammd_wrote(world):
    broker, _ = world
    broker.start()
    fill(broker.bootstrap)
    broker.stop()
    files = [f for f in sorted(glob.glob(f"{broker.data}/t-*/0*"))
             if f.endswith((".log", ".index", ".timeindex", ".snapshot"))]
    assert len(files) >= 40
    done = subprocess.run(
        ["java", "-cp", f"{JARS}/*", "kafka.tools.DumpLogSegments", "--deep-iteration",
         "--index-sanity-check", "--files", ",".join(files)], capture_output=True, text=True)
    out = done.stdout + done.stderr
    assert done.returncode == 0, out[-2000:]
    assert "isvalid: false" not in out
    for word in ("Exception", "mismatch", "Non-consecutive", "out of order", "rror"):
        assert word not in out, [l for l in out.splitlines() if word in l][:3]
    indexes = [f for f in files if f.endswith(("index",))]
    assert out.count("passed sanity check") == len(indexes)


def test_kafka_serves_a_directory_klammd_stopped_and_klammd_serves_kafkas(world):
    broker, kafka = world
    broker.start()
    fill(broker.bootstrap)
    broker.stop()
    kafka.start()
    assert "Recovering" not in kafka.process.text()
    assert_all(kafka.bootstrap, 20000)
    add(kafka.bootstrap, 1000)
    kafka.stop()
    broker.start()
    assert_all(broker.bootstrap, 21000)
    add(broker.bootstrap, 1000)
    assert not [l for l in broker.log().splitlines() if " WARN storage:" in l]
    assert not broker.errors()


def test_klammd_recovers_a_directory_of_a_killed_kafka_and_the_reverse(world):
    broker, kafka = world
    kafka.start()
    fill(kafka.bootstrap, 5000)
    kafka.stop(signal.SIGKILL)

    def registered():  # the killed broker's session must expire first
        broker.start(wait=False)
        wait_until(lambda: broker.is_ready() or not broker.process.running(), "an outcome")
        return broker.process.running()

    wait_until(registered, "the killed Kafka's session expires", 60)
    assert_all(broker.bootstrap, 5000)
    add(broker.bootstrap, 500)
    broker.kill()
    wait_until(lambda: restart(kafka), "the killed klammd's session expires", 120)
    assert_all(kafka.bootstrap, 5500)


def restart(kafka):
    try:
        kafka.start()
        return True
    except AssertionError:
        return False
