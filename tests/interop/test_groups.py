"""klamm group and Kafka's own ConsumerGroupCommand say and do the same on one broker.

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
from conftest import Broker  # noqa: E402
from test_cli_group import commit, committed, fill, members, ok  # noqa: E402

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
