"""Moving replicas: Kafka's own tools on three klammd, klamm's command on three brokers of Kafka 3.9.

Either finishes what the other began: they set the same throttles, and take them off.
Needs Kafka's jars in the folder KAFKA_JARS.
"""
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from cluster_load import assert_replicas_identical, end, isr_is, make_topic  # noqa: E402
from conftest import Cluster, ZooKeeper, wait_until  # noqa: E402
from test_cli import ok, refused  # noqa: E402
from test_disk import JARS, Kafka, pytestmark  # noqa: E402,F401
from test_reassign import fill, isrs, leaders, preferred, replicas, run_in, throttles  # noqa: E402

CONFIG = {"default.replication.factor": 2, "auto.leader.rebalance.enable": "false",
          "group.initial.rebalance.delay.ms": 0}


class Kafkas:
    """Three brokers of Kafka."""

    def __init__(self, path):
        self.path = path
        self.zookeeper = ZooKeeper(path / "zookeeper")
        config = "\n".join(f"{k}={v}" for k, v in CONFIG.items())
        self.brokers = [Kafka(path / f"kafka{i}", path / f"kafka{i}" / "data",
                              self.zookeeper.connect, i, config) for i in (1, 2, 3)]

    @property
    def bootstrap(self):
        return ",".join(b.bootstrap for b in self.brokers)


@pytest.fixture(params=["klammd", "kafka"])
def either(request, tmp_path):
    """Three klammd, or three brokers of Kafka."""
    c = Cluster(tmp_path, 3, config=CONFIG) if request.param == "klammd" else Kafkas(tmp_path)
    for broker in c.brokers:
        broker.start()
    yield c
    end(c)
    c.zookeeper.stop(signal.SIGKILL)


@pytest.fixture
def three(tmp_path):
    c = Cluster(tmp_path, 3, config=CONFIG).start()
    yield c
    end(c)
    c.zookeeper.stop(signal.SIGKILL)


def tool(cluster, name, *args):
    """One of Kafka's tools; what it printed."""
    done = subprocess.run(["java", "-Xmx256m", "-cp", f"{JARS}/*", f"org.apache.kafka.tools.{name}",
                           "--bootstrap-server", cluster.bootstrap, *map(str, args)],
                          capture_output=True, text=True, timeout=120, cwd=cluster.path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def reassign(cluster, *args):
    return tool(cluster, "reassign.ReassignPartitionsCommand", *args)


def write(cluster, name, partitions):
    file = cluster.path / name
    file.write_text(json.dumps({"version": 1, "partitions": partitions}))
    return file


def to_others(cluster, topic):
    """A plan that gives each partition another pair of the three."""
    return [{"topic": topic, "partition": n, "replicas": [r[1] if len(r) > 1 else r[0],
                                                          ({1, 2, 3} - set(r)).pop()]}
            for n, r in replicas(cluster, topic).items()]


def holders(cluster, topic):
    """A cancelled partition is back where it was, as in Kafka perhaps in another order."""
    return {n: set(r) for n, r in replicas(cluster, topic).items()}


def is_as(cluster, plan, topic):
    return {p["partition"]: p["replicas"] for p in plan} == replicas(cluster, topic)


def test_kafkas_tool_generates_executes_and_verifies(three):
    topic = make_topic(three, partitions=4, replicas=2)
    fill(three, topic, 4, 8)
    (three.path / "topics.json").write_text(json.dumps({"version": 1, "topics": [{"topic": topic}]}))
    out = reassign(three, "--generate", "--topics-to-move-json-file", "topics.json",
                   "--broker-list", "2,3")
    plan = json.loads(out.split("Proposed partition reassignment configuration\n")[1])
    assert all(sorted(p["replicas"]) == [2, 3] for p in plan["partitions"])
    write(three, "plan.json", plan["partitions"])
    out = reassign(three, "--execute", "--reassignment-json-file", "plan.json", "--throttle", 1000)
    assert "Successfully started partition reassignments" in out
    assert len(throttles(three, topic)) == 8
    out = reassign(three, "--list")
    assert len(re.findall(rf"{topic}-\d+: replicas: ", out)) >= 2, out
    assert "still in progress" in reassign(three, "--verify", "--reassignment-json-file", "plan.json")
    assert len(throttles(three, topic)) == 8, "what goes on keeps its throttle"
    out = reassign(three, "--execute", "--additional", "--reassignment-json-file", "plan.json",
                   "--throttle", 100000000)
    wait_until(lambda: is_as(three, plan["partitions"], topic), "all is moved", 60)
    out = reassign(three, "--verify", "--reassignment-json-file", "plan.json")
    assert out.count("is completed") == 4 and "Clearing topic-level throttles" in out
    assert throttles(three, topic) == {}
    wait_until(lambda: isr_is(three, topic, {2, 3}), "in sync")
    assert_replicas_identical(three, topic)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def test_kafkas_tool_cancels(three):
    topic = make_topic(three, partitions=2, replicas=2)
    before = holders(three, topic)
    fill(three, topic, 2, 8)
    write(three, "plan.json", to_others(three, topic))
    reassign(three, "--execute", "--reassignment-json-file", "plan.json", "--throttle", 1000)
    wait_until(lambda: all(len(r) == 3 for r in replicas(three, topic).values()), "it goes on")
    out = reassign(three, "--cancel", "--reassignment-json-file", "plan.json")
    assert f"Successfully cancelled partition reassignments for: {topic}-0,{topic}-1" in out
    wait_until(lambda: holders(three, topic) == before, "it is as before")
    assert throttles(three, topic) == {}
    assert "No partition reassignments found." in reassign(three, "--list")


def test_kafkas_tool_elects_leaders(three):
    topic = make_topic(three, partitions=3, replicas=2)
    first = preferred(three, topic)
    three.brokers[0].restart()
    lost = [n for n, id in first.items() if id == 1]
    wait_until(lambda: all(len(i) == 2 for i in isrs(three, topic).values()), "in sync")
    out = tool(three, "LeaderElectionCommand", "--election-type", "preferred",
               "--all-topic-partitions")
    assert "Successfully completed leader election (PREFERRED)" in out
    assert all(f"{topic}-{n}" in out for n in lost)
    wait_until(lambda: leaders(three, topic) == first, "the preferred replicas lead")
    out = tool(three, "LeaderElectionCommand", "--election-type", "preferred", "--topic", topic,
               "--partition", 0)
    assert "Valid replica already elected" in out


def test_klamm_moves_replicas_and_takes_its_throttle_off(either):
    topic = make_topic(either, partitions=6, replicas=1)
    fill(either, topic, 6, 6)
    run = run_in(either)
    before = replicas(either, topic)
    out = ok(run("reassign", "apply", "--topic", topic, "--replication-factor", 2, "--throttle",
                 20000000, "--save", "back.json"))
    assert "copies 6 replicas: 6.3 MB." in out, out
    assert "The throttle was taken off 1 topic and 3 brokers." in out
    after = replicas(either, topic)
    assert [sum(id in r for r in after.values()) for id in (1, 2, 3)] == [4, 4, 4]
    assert throttles(either, topic) == {}
    lines = ok(run("reassign", "apply", "--topic", topic, "--drain", 1, "--json")).splitlines()
    assert json.loads(lines[-1])["finished"]
    assert all(1 not in r and len(r) == 2 for r in replicas(either, topic).values())
    ok(run("reassign", "apply", "back.json"))
    assert replicas(either, topic) == before
    outcomes = json.loads(ok(run("topic", "elect-leaders", topic, "--json")))
    assert {o["outcome"] for o in outcomes} <= {"elected", "not_needed"} and len(outcomes) == 6
    refused(run("topic", "elect-leaders", f"{topic}:99"), f"{topic}-99")


def test_klamm_cancels_and_watches_what_kafkas_tool_began(either):
    topic = make_topic(either, partitions=2, replicas=2)
    before = holders(either, topic)
    fill(either, topic, 2, 4)
    plan = to_others(either, topic)
    write(either, "plan.json", plan)
    run = run_in(either)
    execute = ["--execute", "--reassignment-json-file", "plan.json", "--throttle"]
    reassign(either, *execute, 1000)
    assert len(throttles(either, topic)) == 8
    refused(run("reassign", "apply", "plan.json"), "being reassigned already", "--additional")
    out = ok(run("reassign", "cancel", "plan.json"))
    assert out == ("Cancelled for 2 partitions.\n"
                   "The throttle was taken off 1 topic and 3 brokers.\n")
    wait_until(lambda: holders(either, topic) == before, "it is as before")
    reassign(either, *execute, 2000000)
    out = ok(run("reassign", "watch"))
    assert "Each broker copies 2.0 MB a second at most." in out
    assert "The throttle was taken off 1 topic and 3 brokers." in out
    assert is_as(either, plan, topic) and throttles(either, topic) == {}


def test_kafkas_tool_finishes_what_klamm_began(either):
    topic = make_topic(either, partitions=2, replicas=2)
    fill(either, topic, 2, 2)
    plan = to_others(either, topic)
    write(either, "plan.json", plan)
    ok(run_in(either)("reassign", "apply", "plan.json", "--no-wait", "--throttle", 1000000))
    assert len(throttles(either, topic)) == 8
    wait_until(lambda: is_as(either, plan, topic), "all is moved", 60)
    out = reassign(either, "--verify", "--reassignment-json-file", "plan.json")
    assert out.count("is completed") == 2
    assert throttles(either, topic) == {}
