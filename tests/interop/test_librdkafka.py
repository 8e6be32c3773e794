"""librdkafka's own suites on three brokers, with all that is made there replicated three times.

Wants the built trees of the suites in LIBRDKAFKA_202 and LIBRDKAFKA_212 (run.sh builds them). They
run on klammd, or with LIBRDKAFKA_ON=kafka on Apache Kafka 3.9 (its jars in KAFKA_JARS), to compare.
LIBRDKAFKA_TESTS names tests instead of those of the lists.
"""
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))
from conftest import Cluster, ZooKeeper  # noqa: E402
from test_disk import Kafka  # noqa: E402

ON_KAFKA = os.environ.get("LIBRDKAFKA_ON") == "kafka"
CONFIG = {"default.replication.factor": 3, "num.partitions": 4,
          "offsets.topic.replication.factor": 3, "offsets.topic.num.partitions": 10,
          "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
          # 0059 writes records of 1970, which retention took away in the middle of the test, once
          # on klammd and once on Apache Kafka.
          "log.retention.ms": -1}
PATIENT = ("0089", "0102", "0113", "0118")  # members come together: suite() of run.sh


def listed(version):
    named = os.environ.get("LIBRDKAFKA_TESTS", "").split()
    lists = [HERE / f"librdkafka-{version}.list", HERE / "librdkafka-cluster.list"]
    return named or [t for path in lists for line in path.read_text().splitlines()
                     for t in line.split("#")[0].split()]


def trees():
    return {v: Path(os.environ[f"LIBRDKAFKA_{v}"]) for v in ("202", "212")
            if os.environ.get(f"LIBRDKAFKA_{v}")}


def all_tests():
    found = [(v, t) for v in trees() for t in listed(v)]
    # A cluster serves all tests that want the same of it.
    return sorted(found, key=lambda vt: vt[1].startswith(PATIENT))


class KafkaCluster:
    """Three brokers of Apache Kafka."""

    def __init__(self, path, config):
        self.zookeeper = ZooKeeper(path / "zookeeper")
        self.brokers = [
            Kafka(path / f"kafka{i}", path / f"kafka{i}" / "data", self.zookeeper.connect, i,
                  "\n".join(f"{k}={v}" for k, v in {**config, "broker.rack": f"RACK{i}"}.items()))
            for i in (1, 2, 3)]

    @property
    def bootstrap(self):
        return ",".join(b.bootstrap for b in self.brokers)

    def start(self):
        for broker in self.brokers:
            broker.start()
        return self

    def stop(self):
        for broker in self.brokers:
            if broker.process is not None and broker.process.running():
                broker.process.stop(signal.SIGKILL)
        self.zookeeper.stop(signal.SIGKILL)


def make_cluster(path, delay_ms):
    config = {**CONFIG, "group.initial.rebalance.delay.ms": delay_ms}
    if ON_KAFKA:
        return KafkaCluster(path, config)
    cluster = Cluster(path, 3, config=config)
    for broker in cluster.brokers:
        broker.settings["broker.rack"] = f"RACK{broker.id}"
    return cluster


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    made = {}

    def cluster(delay_ms):
        if delay_ms not in made:
            for other in made.values():
                other.stop()
            made[delay_ms] = make_cluster(tmp_path_factory.mktemp("cluster"), delay_ms).start()
        return made[delay_ms]

    yield cluster
    for other in made.values():
        other.stop()


def run(tree, test, cluster, path):
    """Whether the suite says that it passed, and what it wrote."""
    number, _, subtests = test.partition(":")
    # Another name for the bootstrap than for the brokers: see suite() of run.sh.
    bootstrap = cluster.bootstrap.replace("127.0.0.1", "localhost")
    (path / "test.conf").write_text(f"bootstrap.servers={bootstrap}\nbroker.address.family=v4\n"
                                    "test.timeout.multiplier=2\n")
    env = dict(os.environ, RDKAFKA_TEST_CONF=str(path / "test.conf"), TEST_KAFKA_VERSION="3.9.0",
               BROKERS=bootstrap, TESTS=number, SUBTESTS=subtests, RACKS="RACK1 RACK2 RACK3",
               LD_LIBRARY_PATH="../src:../src-cpp")
    for left in (tree / "tests").glob("rdkafkatest_*.offset"):  # see run.sh
        left.unlink()
    out = path / "out"
    with open(out, "wb") as f:
        code = subprocess.run(["timeout", "900", "./test-runner", "-p1", "-L"], cwd=tree / "tests",
                              env=env, stdout=f, stderr=subprocess.STDOUT).returncode
    text = out.read_text(errors="replace")
    # What the suite itself switches off ends well too.
    return code == 0 and re.search(r"^\|(?!.*<MAIN>).* PASSED", text, re.M) is not None, text


@pytest.mark.parametrize("version, test", all_tests())
def test_the_suite_passes_on_three_brokers(clusters, tmp_path, version, test):
    cluster = clusters(2500 if test.startswith(PATIENT) else 0)
    passed, text = run(trees()[version], test, cluster, tmp_path)
    assert passed, text[-3000:]
