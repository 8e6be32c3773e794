"""One cluster of both: a klammd beside two brokers of Apache Kafka 3.9, under either one's controller.

Needs Kafka's jars in the folder KAFKA_JARS. MIXED_SECONDS says how long the load runs (20).
"""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from cluster_load import (Load, assert_replicas_identical, check_once_and_in_order,  # noqa: E402
                          consume_all, described, isr_is, make_topic)
from confluent_kafka.admin import AdminClient  # noqa: E402
from conftest import Broker, Cluster, ZooKeeper, free_port, wait_until  # noqa: E402
from test_disk import JARS, Kafka, pytestmark  # noqa: E402,F401

SECONDS = int(os.environ.get("MIXED_SECONDS", "20"))
CONFIG = {"default.replication.factor": 3, "offsets.topic.num.partitions": 3,
          "min.insync.replicas": 2, "group.initial.rebalance.delay.ms": 0}


class Mixed(Cluster):
    """Broker 1 is klammd, 2 and 3 are Kafka."""

    def __init__(self, path):
        self.zookeeper = ZooKeeper(path / "zookeeper")
        config = "\n".join(f"{k}={v}" for k, v in CONFIG.items())
        self.klammd = Broker(path / "broker1", 1, self.zookeeper.connect, CONFIG)
        self.kafkas = [Kafka(path / f"kafka{i}", path / f"kafka{i}" / "data",
                             self.zookeeper.connect, i, config) for i in (2, 3)]
        self.brokers = [self.klammd, *self.kafkas]


@pytest.fixture
def mixed(tmp_path):
    m = Mixed(tmp_path)
    yield m
    m.stop()


def start_first(mixed, controller):
    """Who is there first is the controller."""
    first = [mixed.klammd] if controller == "klammd" else mixed.kafkas
    for broker in first + [b for b in mixed.brokers if b not in first]:
        broker.start()


@pytest.mark.parametrize("controller", ["klammd", "kafka"])
def test_replicas_of_both_kinds_stay_in_sync_under_load(mixed, controller):
    start_first(mixed, controller)
    topic = make_topic(mixed, partitions=6)
    wait_until(lambda: {p.leader for p in described(mixed, topic).values()} == {1, 2, 3},
               "both kinds lead")
    load = Load(mixed, topic)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        load.wait_acked(1000)
        assert isr_is(mixed, topic, {1, 2, 3}), "an ISR has shrunk"
    load.stop()
    assert mixed.klammd.metric("klamm_isr_shrinks_total") == 0
    check_once_and_in_order(load, consume_all(mixed, topic))
    assert_replicas_identical(mixed, topic)
    assert mixed.klammd.errors() == []


def test_leadership_moves_between_the_kinds_and_back(mixed):
    for broker in mixed.brokers:
        broker.start()
    topic = make_topic(mixed, partitions=6)
    load = Load(mixed, topic)
    load.wait_acked(1000)
    for broker in mixed.brokers:
        broker.process.stop(signal.SIGKILL)
        load.wait_acked(1000)
        wait_until(lambda: isr_is(mixed, topic, {1, 2, 3} - {broker.id}), "the ISR shrinks", 60)
        broker.start()
        wait_until(lambda: isr_is(mixed, topic, {1, 2, 3}), "it is in sync again", 90)
    load.stop()
    check_once_and_in_order(load, consume_all(mixed, topic))
    assert_replicas_identical(mixed, topic)


def configure(broker, *args):
    """Kafka's own tool changes a broker's settings."""
    done = subprocess.run(
        ["java", "-Xmx256m", "-cp", f"{JARS}/*", "kafka.admin.ConfigCommand", "--bootstrap-server",
         broker.bootstrap, "--alter", "--entity-type", "brokers", "--entity-name", str(broker.id),
         *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def known_by(port):
    """{broker: its port}, as the metadata tells who asks by this listener."""
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    return {b.id: b.port for b in client.list_topics(timeout=10).brokers.values()}


@pytest.mark.parametrize("controller", ["klammd", "kafka"])
def test_a_listener_that_is_added_is_known_to_brokers_of_both_kinds(mixed, controller):
    start_first(mixed, controller)
    topic = make_topic(mixed, partitions=6)
    load = Load(mixed, topic)
    load.wait_acked(1000)
    added = {}
    for broker in mixed.brokers:
        added[broker.id] = port = free_port()
        configure(broker, "--add-config",
                  "listener.security.protocol.map=[PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT],"
                  f"listeners=[PLAINTEXT://127.0.0.1:{broker.port},EXTRA://127.0.0.1:{port}]")
        for number in added.values():
            wait_until(lambda: known_by(number) == added, f"{broker.id} is known by {number}")
        load.wait_acked(1000)
    gone = added.pop(mixed.klammd.id)
    configure(mixed.klammd, "--delete-config", "listeners")
    for number in added.values():
        wait_until(lambda: known_by(number) == added, f"klammd's {gone} is known no more")
    assert known_by(mixed.klammd.port) == {b.id: b.port for b in mixed.brokers}
    load.wait_acked(1000)
    load.stop()
    check_once_and_in_order(load, consume_all(mixed, topic))
    assert_replicas_identical(mixed, topic)
    assert mixed.klammd.errors() == []
