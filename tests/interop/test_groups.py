"""klamm group and Kafka's own ConsumerGroupCommand say and do the same on one broker; what others
read in our __consumer_offsets; and groups that move between Kafka and klammd with their directory.

Needs Kafka's jars in the folder KAFKA_JARS; tests/interop/run.sh fetches them. Skipped without.
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Consumer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from conftest import Broker, Process, ZooKeeper, free_port, wait_until  # noqa: E402
from test_cli_group import commit, committed, fill, members, ok  # noqa: E402
from test_disk import Kafka  # noqa: E402
from wire import Connection  # noqa: E402

JARS = os.environ.get("KAFKA_JARS", "")
pytestmark = pytest.mark.skipif(not glob.glob(f"{JARS}/kafka-tools-3.9*.jar"),
                                reason="KAFKA_JARS has no kafka-tools 3.9")


@pytest.fixture
def broker(tmp_path):
    b = Broker(tmp_path / "broker", config={"group.initial.rebalance.delay.ms": 0}).start()
    fill(b, "orders", [30, 20])
    fill(b, "prices", [10])
    commit(b, "billing", {"orders:0": 12, "orders:1": 5, "prices": 10})
    commit(b, "audit", {"orders:1": 7})
    yield b
    b.process.stop(signal.SIGKILL)


def kafka(broker, *args):
    """ConsumerGroupCommand's output, without its log."""
    return subprocess.run(
        ["java", "-Dlog4j.configuration=file:/dev/null", "-cp", f"{JARS}/*",
         "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server",
         broker.bootstrap, *map(str, args)],
        capture_output=True, text=True, timeout=120).stdout


def cells(text):
    return sorted(line.split() for line in text.splitlines() if line.strip())


def test_both_describe_groups_alike(broker):
    with members(broker, "live", ["orders"]):
        for group in ("live", "billing"):
            assert cells(ok(broker.klamm("group", "describe", group))) == cells(
                kafka(broker, "--describe", "--group", group))
        assert cells(ok(broker.klamm("group", "state", "live"))) == cells(
            kafka(broker, "--describe", "--state", "--group", "live"))
        assert cells(ok(broker.klamm("group", "list", "--state"))) == cells(
            kafka(broker, "--list", "--state"))


@pytest.mark.parametrize("where", [
    ["--to-earliest"], ["--to-latest"], ["--to-current"], ["--to-offset", 8], ["--shift-by", -3],
    ["--by-duration", "PT1H"], ["--to-datetime", "2200-01-01T00:00:00.000"]])
def test_both_plan_a_reset_alike(broker, where):
    for groups in (["--group", "billing"], ["--all-groups"]):
        ours = ok(broker.klamm("group", "reset-offsets", *groups, "--all-topics", *where, "--export"))
        theirs = kafka(broker, "--reset-offsets", *groups, "--all-topics", *where, "--export",
                       "--dry-run")
        assert cells(ours) == [row for row in cells(theirs) if row[0].count(",") >= 2]


def test_each_takes_the_others_export(broker, tmp_path):
    file = tmp_path / "offsets.csv"
    groups = ["--group", "audit", "--group", "billing"]
    before = committed(broker, "billing"), committed(broker, "audit")

    file.write_text(ok(broker.klamm("group", "reset-offsets", *groups, "--all-topics",
                                    "--to-current", "--export")))
    ok(broker.klamm("group", "reset-offsets", *groups, "--all-topics", "--to-latest", "--execute"))
    assert (committed(broker, "billing"), committed(broker, "audit")) != before
    kafka(broker, "--reset-offsets", *groups, "--from-file", file, "--execute")
    assert (committed(broker, "billing"), committed(broker, "audit")) == before

    file.write_text(kafka(broker, "--reset-offsets", *groups, "--all-topics", "--to-current",
                          "--export", "--dry-run"))
    ok(broker.klamm("group", "reset-offsets", *groups, "--all-topics", "--to-latest", "--execute"))
    ok(broker.klamm("group", "reset-offsets", *groups, "--from-file", file, "--execute"))
    assert (committed(broker, "billing"), committed(broker, "audit")) == before


def test_kafkas_command_deletes_offsets_and_groups(broker):
    told = kafka(broker, "--delete-offsets", "--group", "billing", "--topic", "orders:0")
    assert told.split()[-3:] == ["orders", "0", "Successful"]
    assert committed(broker, "billing") == {("orders", 1): 5, ("prices", 0): 10}
    with members(broker, "live", ["orders"]):
        told = kafka(broker, "--delete", "--group", "live", "--group", "audit")
        assert "GroupNotEmptyException" in told
        assert sorted(kafka(broker, "--list").split()) == ["billing", "live"]
        told = kafka(broker, "--describe", "--members", "--verbose", "--group", "live")
        assert re.search(r"\bclient0 +2 +\S*\(0,1\)", told), told


# ---- what others read of ours ----

BURROW = """
[general]
pidfile="{path}/burrow.pid"
[logging]
filename="{path}/burrow.log"
level="debug"
[zookeeper]
servers=["{zookeeper}"]
timeout=6
root-path="/burrow"
[client-profile.ours]
client-id="burrow"
kafka-version="2.0.0"
[cluster.local]
class-name="kafka"
servers=["{broker}"]
client-profile="ours"
topic-refresh=5
offset-refresh=1
[consumer.local]
class-name="kafka"
cluster="local"
servers=["{broker}"]
client-profile="ours"
[httpserver.default]
address="127.0.0.1:{port}"
[storage.default]
class-name="inmemory"
workers=2
intervals=5
expire-group=604800
min-distance=0
"""


@pytest.fixture
def world(tmp_path):
    zookeeper = ZooKeeper(tmp_path / "zookeeper")
    broker = Broker(tmp_path / "broker", 1, zookeeper.connect,
                    {"group.initial.rebalance.delay.ms": 0, "offsets.topic.num.partitions": 4,
                     "offsets.topic.replication.factor": 1})
    kafka_broker = Kafka(tmp_path, broker.data, zookeeper.connect)
    with open(kafka_broker.properties, "a") as f:
        f.write("group.initial.rebalance.delay.ms=0\noffsets.topic.num.partitions=4\n")
    yield zookeeper, broker, kafka_broker
    for process in (broker.process, kafka_broker.process, zookeeper.process):
        if process is not None and process.running():
            process.stop(signal.SIGKILL)


@pytest.mark.skipif(shutil.which("Burrow") is None, reason="Burrow is not installed")
def test_burrow_reports_the_lag_of_a_group(world, tmp_path):
    zookeeper, broker, _ = world
    broker.start()
    fill(broker, "orders", [30, 20, 7])
    port = free_port()
    (tmp_path / "burrow.toml").write_text(BURROW.format(
        path=tmp_path, zookeeper=zookeeper.connect, broker=broker.bootstrap, port=port))

    def lag(group):
        """{partition: lag} as Burrow has it, or what it says instead."""
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/v3/kafka/local/consumer/{group}/lag", timeout=5) as r:
                status = json.load(r)["status"]
        except (urllib.error.HTTPError, OSError) as e:
            return str(e)
        return {p["partition"]: p["current_lag"] for p in status["partitions"]}

    commit(broker, "billing", {"orders:0": 12, "orders:1": 20, "orders:2": 0})
    burrow = Process(["Burrow", "--config-dir", tmp_path], tmp_path / "burrow.out")
    try:
        wait_until(lambda: lag("billing") == {0: 18, 1: 0, 2: 7}, "Burrow has the lag", 60)
        ok(broker.klamm("produce", "-t", "orders", "-p", 1, input="a\nb\n"))
        commit(broker, "billing", {"orders:0": 30, "orders:1": 21})
        wait_until(lambda: lag("billing") == {0: 0, 1: 1, 2: 7}, "Burrow sees it change", 60)
        with members(broker, "live", ["orders"]) as (consumer,):
            wait_until(lambda: consumer.poll(0.1) is None, "all is read")
            consumer.commit(asynchronous=False)
            wait_until(lambda: lag("live") == {0: 0, 1: 0, 2: 0}, "and that of members", 60)
    finally:
        burrow.stop(signal.SIGKILL)


def test_dumplogsegments_decodes_our_consumer_offsets(world):
    _, broker, _ = world
    broker.start()
    fill(broker, "orders", [30, 20])
    commit(broker, "billing", {"orders:0": 12, "orders:1": 5})
    with members(broker, "live", ["orders"]):
        pass
    ok(broker.klamm("group", "delete", "billing"))
    broker.stop()
    files = glob.glob(f"{broker.data}/__consumer_offsets-*/*.log")
    done = subprocess.run(
        ["java", "-Dlog4j.configuration=file:/dev/null", "-cp", f"{JARS}/*",
         "kafka.tools.DumpLogSegments", "--offsets-decoder", "--print-data-log", "--files",
         ",".join(files)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done.stderr
    said = [re.sub(r"\s", "", l) for l in done.stdout.splitlines() if "payload" in l]
    assert any('"group":"billing","topic":"orders","partition":0' in l and '"offset":12' in l
               for l in said), said
    assert any('"group":"billing","topic":"orders","partition":0' in l and "payload:<DELETE>" in l
               for l in said), said
    assert any('"group":"live"' in l and '"protocolType":"consumer"' in l and
               '"generation":1' in l and '"clientId":"client0"' in l for l in said), said


# ---- one directory, two brokers ----


class Group:
    """A static member and what it does, told by whichever broker leads now."""

    def __init__(self, bootstrap):
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": "moving", "group.instance.id": "i0",
            "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "session.timeout.ms": 300000, "max.poll.interval.ms": 300000})
        self.consumer.subscribe(["orders"])

    def read(self, count):
        """The next records, committed; then the process is gone, and its place kept."""
        values = []

        def more():
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                values.append((message.partition(), message.offset()))
                self.consumer.commit(message=message, asynchronous=False)
            return len(values) == count

        wait_until(more, f"{count} records are read", 60)
        self.consumer.close()
        return values


def generation(port):
    """The group's state and its generation: the one with which its member's heartbeat is taken."""
    with Connection(port) as c:
        def described():
            (g,) = c.call("DescribeGroups", 4, {"Groups": ["moving"]})["Groups"]
            return g if g["ErrorCode"] == 0 else None
        wait_until(lambda: c.call("FindCoordinator", 1, {"Key": "moving"})["ErrorCode"] == 0,
                   "there is a coordinator")
        g = wait_until(described, "the group is loaded", 60)
        (member,) = g["Members"]
        for number in range(1, 50):
            if c.call("Heartbeat", 3, {"GroupId": "moving", "GenerationId": number,
                                       "GroupInstanceId": "i0",
                                       "MemberId": member["MemberId"]})["ErrorCode"] == 0:
                return g["GroupState"], number, member["MemberId"], member["MemberAssignment"]
    raise AssertionError("no generation is the group's")


@pytest.mark.parametrize("first", ["kafka", "klammd"])
def test_a_group_goes_on_in_the_other_broker_of_its_directory(world, first):
    _, broker, other = world
    lives = [other, broker] * 2 if first == "kafka" else [broker, other] * 2
    read, was = [], None
    for life in lives:
        life.start()
        if was is None:
            fill_orders(life)
        else:
            assert generation(life.port) == was
        read += Group(life.bootstrap).read(25)
        was = generation(life.port)
        assert was[0] == "Stable" and was[3] != b""
        life.stop()
    # Nothing twice, nothing left out: each went on from what the other had committed.
    assert len(set(read)) == 100
    assert broker.errors() == []


def fill_orders(life):
    """100 records in two partitions."""
    env = dict(os.environ, KLAMM_BOOTSTRAP_SERVER=life.bootstrap)
    klamm = Path(os.environ["KLAMM_BUILD"]) / "klamm"
    subprocess.run([klamm, "topic", "create", "orders", "--partitions", "2"], env=env, check=True)
    for p in (0, 1):
        subprocess.run([klamm, "produce", "-t", "orders", "-p", str(p)], env=env, check=True,
                       input="".join(f"{i}\n" for i in range(50)), text=True)
