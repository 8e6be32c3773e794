"""Kafka's own ReplicaVerificationTool reads all replicas of three klammd while they are written.

Needs Kafka's jars in the folder KAFKA_JARS.
"""
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from cluster_load import Load, check_all, end, make_topic  # noqa: E402
from conftest import Cluster, Process, wait_until  # noqa: E402
from test_disk import JARS, LOG4J, pytestmark  # noqa: E402,F401


@pytest.fixture
def three(tmp_path):
    c = Cluster(tmp_path, 3, config={"min.insync.replicas": 2, "log.segment.bytes": 1 << 20}).start()
    yield c
    end(c)
    c.stop()


class Verification:
    """The tool, from the first record on; it reports every second and never ends by itself."""

    def __init__(self, cluster, path):
        (path / "log4j.properties").write_text(LOG4J.replace("INFO", "WARN"))
        self.process = Process(
            ["java", "-Xmx256m", f"-Dlog4j.configuration=file:{path}/log4j.properties", "-cp",
             f"{JARS}/*", "org.apache.kafka.tools.ReplicaVerificationTool", "--broker-list",
             cluster.bootstrap, "--topics-include", "t", "--time", "-2", "--report-interval-ms",
             "1000"], path / "verification.log")

    def reports(self):
        """[(lag, offset)] of the partition that lags most."""
        assert self.process.running(), self.process.text()
        return [tuple(map(int, r)) for r in re.findall(
            r"max lag is (-?\d+) for partition t-\d at offset (\d+) among 3 partitions",
            self.process.text())]

    def differences(self):
        return [line for line in self.process.text().splitlines()
                if "doesn't match" in line or "unmatched" in line or "Exception" in line]


def test_kafkas_verification_of_replicas_finds_no_difference_under_load(three, tmp_path):
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(5000)
    verification = Verification(three, tmp_path)
    for _ in range(5):
        seen = len(verification.reports())
        load.wait_acked(2000)
        wait_until(lambda: len(verification.reports()) > seen + 1, "it reports", 60)
    load.stop()
    least = min(end_of(load, p) for p in range(3))
    wait_until(lambda: verification.reports()[-1][0] == 0 and verification.reports()[-1][1] >= least,
               "it has read all", 60)
    assert verification.differences() == []
    verification.process.stop()
    check_all(three, topic, load)


def end_of(load, partition):
    return 1 + max((at for p, at in load.acked.values() if p == partition and at is not None),
                   default=-1)
