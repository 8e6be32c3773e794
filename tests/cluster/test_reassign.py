"""klamm reassign and klamm topic elect-leaders against three and four brokers."""
import json
import os
import signal
import subprocess

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cluster_load import Load, check_all, end, isr_is, make_topic
from conftest import KLAMM, Cluster, end_with_parent, wait_until
from test_cli import ok, refused


@pytest.fixture
def three(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "default.replication.factor": 3, "auto.leader.rebalance.enable": "false",
        "zookeeper.session.timeout.ms": 2000}).start()
    yield c
    end(c)


def outcomes(text):
    return {(p["topic"], p["partition"]): p["outcome"] for p in json.loads(text)}


def agreed(cluster, topic, what):
    """{partition: what(partition)}, once all brokers that run say the same; they hear one by one."""
    def ask(broker):
        partitions = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(
            topic, timeout=10).topics[topic].partitions
        return {n: what(p) for n, p in partitions.items()}

    def one_answer():
        said = [ask(b) for b in cluster.brokers if b.process is not None and b.process.running()]
        return said[0] if all(s == said[0] for s in said) else None

    return wait_until(one_answer, "the brokers agree")


def leaders(cluster, topic):
    return agreed(cluster, topic, lambda p: p.leader)


def replicas(cluster, topic):
    return agreed(cluster, topic, lambda p: p.replicas)


def isrs(cluster, topic):
    return agreed(cluster, topic, lambda p: p.isrs)


def preferred(cluster, topic):
    return {n: r[0] for n, r in replicas(cluster, topic).items()}


# ---- elect-leaders ----

def test_preferred_replicas_lead_again_after_a_restart(three):
    topic = make_topic(three, partitions=6)
    first, second = three.brokers[0], three.brokers[1]
    first.restart()
    wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "all are in sync again")
    lost = {n for n, id in preferred(three, topic).items() if id == 1}
    assert {n for n, id in leaders(three, topic).items() if id != preferred(three, topic)[n]} == \
        lost != set()
    one = min(lost)
    text = ok(second.klamm("topic", "elect-leaders", f"{topic}:{one}", "--json"))
    assert outcomes(text) == {(topic, one): "elected"}
    wait_until(lambda: leaders(three, topic)[one] == 1, "the one leads")
    text = ok(second.klamm("topic", "elect-leaders", topic, "--json"))
    assert outcomes(text) == {(topic, n): "elected" if n in lost - {one} else "not_needed"
                              for n in range(6)}
    wait_until(lambda: leaders(three, topic) == preferred(three, topic), "all lead")
    assert ok(second.klamm("topic", "elect-leaders", "--all-topic-partitions")) == \
        "No partition needs an election.\n"


def test_an_unclean_election_brings_a_partition_back(three):
    topic = make_topic(three, partitions=1, replicas=2)
    order = replicas(three, topic)[0]
    brokers = {b.id: b for b in three.brokers}
    brokers[order[1]].stop()
    wait_until(lambda: isr_is(three, topic, {order[0]}), "the ISR shrinks")
    other = next(b for b in three.brokers if b.id not in order)
    brokers[order[0]].kill()
    brokers[order[1]].start()
    ask = lambda *args: other.klamm("topic", "elect-leaders", topic, *args)  # noqa: E731
    refused(ask(), f"{topic}-0", "preferred replica")
    wait_until(lambda: outcomes(ask("--election-type", "unclean", "--json").stdout) ==
               {(topic, 0): "elected"}, "it is elected")
    assert outcomes(ok(ask("--election-type", "unclean", "--json"))) == {(topic, 0): "not_needed"}


def test_what_cannot_be_elected_is_told(three):
    make_topic(three, partitions=1, replicas=1)
    k = three.brokers[0].klamm
    refused(k("topic", "elect-leaders"), "--all-topic-partitions", code=2)
    refused(k("topic", "elect-leaders", "t", "--election-type", "best"), "preferred or", code=2)
    refused(k("topic", "elect-leaders", "t:x"), "TOPIC:0,1,2", code=2)
    refused(k("topic", "elect-leaders", "nope"), "no topic 'nope'")
    refused(k("topic", "elect-leaders", "t:0,7"), "t-7")
    refused(k("topic", "elect-leaders", "t", "-b", "127.0.0.1:1"), "127.0.0.1:1",
            "Connection refused")


def test_brokers_are_asked_over_tls(tmp_path, zookeeper, certificates):
    c = Cluster(tmp_path, 2, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "security.inter.broker.protocol": "SSL", "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates / "broker.pem", "ssl.client.auth": "required",
        "ssl.truststore.type": "PEM", "ssl.truststore.location": certificates / "ca.pem"})
    for broker in c.brokers:
        broker.settings["listeners"] = f"SSL://localhost:{broker.port}"
        broker.start()
    try:
        ask_over_tls(c, certificates)
    finally:
        end(c)


def ask_over_tls(cluster, certificates):
    client = cluster.path / "client.properties"
    lines = ["security.protocol=SSL", "ssl.truststore.type=PEM",
             f"ssl.truststore.location={certificates / 'ca.pem'}", "ssl.keystore.type=PEM",
             f"ssl.keystore.location={certificates / 'broker.pem'}"]
    client.write_text("\n".join(lines))
    run = run_in(cluster)
    there = ["-b", f"localhost:{cluster.brokers[0].port}"]
    tls = [*there, "--command-config", client]
    ok(run("topic", "create", "t", *tls))
    assert ok(run("topic", "elect-leaders", "t", *tls)) == "t-0: the preferred replica leads\n"
    out = ok(run("reassign", "apply", "--topic", "t", "--replication-factor", 2, "--throttle",
                 1000000, *tls))
    assert "The throttle was taken off 1 topic and 2 brokers." in out
    assert "Nothing has to move." in ok(run("reassign", "apply", "--topic", "t",
                                            "--replication-factor", 2, *tls))
    client.write_text("\n".join(lines[:3]))
    refused(run("topic", "elect-leaders", "t", *tls), "localhost")
    client.write_text("security.protocol=SSL\n")
    refused(run("topic", "elect-leaders", "t", *tls), "TLS failed")
    refused(run("topic", "elect-leaders", "t", *there), "does it want TLS?")


# ---- reassign ----

RATES = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
LISTS = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")


@pytest.fixture
def four(tmp_path, zookeeper):
    """Three brokers that run, and a fourth that does not yet."""
    c = Cluster(tmp_path, 4, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "default.replication.factor": 3, "offsets.topic.num.partitions": 3,
        "min.insync.replicas": 2, "zookeeper.session.timeout.ms": 2000})
    for broker in c.brokers[:3]:
        broker.start()
    yield c
    end(c)


def run_in(cluster, broker=0):
    """The command, in the test's folder, where it may leave files."""
    def run(*args, **more):
        env = dict(os.environ, KLAMM_BOOTSTRAP_SERVER=cluster.brokers[broker].bootstrap)
        return subprocess.run([str(KLAMM), *map(str, args)], env=env, cwd=cluster.path,
                              capture_output=True, text=True, timeout=120, **more)
    return run


def start_in(cluster, *args):
    env = dict(os.environ, KLAMM_BOOTSTRAP_SERVER=cluster.brokers[0].bootstrap)
    return subprocess.Popen([str(KLAMM), *map(str, args)], env=env, cwd=cluster.path, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=end_with_parent)


def fill(cluster, topic, partitions, mib):
    """Long records, evenly; numbers, as those of a Load, and lower ones."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all",
                         "enable.idempotence": True})  # a retry keeps the order
    for i in range(mib * 16):
        producer.produce(topic, str(i - 10**9).ljust(65536), partition=i % partitions)
        producer.poll(0)
    assert producer.flush(60) == 0


def own_settings(run, kind, name, names):
    (entity,) = json.loads(ok(run("config", "describe", f"--{kind}", name, "--json")))
    return {c["name"]: c["value"] for c in entity["configs"] if c["name"] in names}


def throttles(cluster, topic):
    """What is set of the throttle: of the topic, and of the brokers that run."""
    run = run_in(cluster)
    found = own_settings(run, "topic", topic, LISTS)
    for broker in cluster.brokers:
        if broker.process is not None and broker.process.running():
            found.update({f"{broker.id} {k}": v for k, v in
                          own_settings(run, "broker", broker.id, RATES).items()})
    return found


def test_a_broker_is_drained_under_load_and_the_throttle_is_taken_off(four):
    four.brokers[3].start()
    topic = make_topic(four, partitions=6)
    fill(four, topic, 6, 24)
    load = Load(four, topic)
    load.wait_acked(1000)
    run = run_in(four)
    held = [n for n, r in replicas(four, topic).items() if 2 in r]
    moving = start_in(four, "reassign", "apply", "--drain", 2, "--throttle", 8000000, "--save",
                      "before.json")
    seen = wait_until(lambda: len(throttles(four, topic)) == 10 and throttles(four, topic) or
                      moving.poll() is not None, "the throttle is set")
    assert seen is not True, moving.communicate()
    assert {v for k, v in seen.items() if k.endswith("rate")} == {"8000000"}
    assert seen[LISTS[1]].count(":") == len(held)
    out, err = moving.communicate(timeout=120)
    assert moving.returncode == 0, (out, err)
    assert f"copies {len(held)} replica" in out and "The throttle was taken off" in out
    assert "  broker 2: " in out and " -> 0 replicas, first of " in out
    assert all(2 not in r and len(r) == 3 for r in replicas(four, topic).values())
    assert throttles(four, topic) == {}
    check_all(four, topic, load)
    wait_until(lambda: not list(four.brokers[1].data.glob(f"{topic}-[0-9]")), "nothing is left")
    assert "Nothing is being reassigned." in ok(run("reassign", "watch"))
    # and the way back
    out = ok(run("reassign", "apply", "before.json", "--save", "after.json"))
    assert {n for n, r in replicas(four, topic).items() if 2 in r} == set(held)
    assert json.loads((four.path / "after.json").read_text())["version"] == 1
    wait_until(lambda: all(len(i) == 3 for i in isrs(four, topic).values()), "in sync")


def test_an_added_broker_gets_its_share(four):
    topic = make_topic(four, partitions=8, replicas=2)
    four.brokers[3].start()
    run = run_in(four)
    before = replicas(four, topic)
    planned = run("reassign", "plan", "--add", 4, "--topic", topic)
    plan = json.loads(ok(planned))
    assert len(plan["partitions"]) == 4 and "copies 4 replicas" in planned.stderr
    assert replicas(four, topic) == before, "a plan changes nothing"
    (four.path / "plan.json").write_text(planned.stdout)
    ok(run("reassign", "apply", "-", "--save", "back.json", input=planned.stdout))
    after = replicas(four, topic)
    assert sum(4 in r for r in after.values()) == 4
    assert {p["partition"]: p["replicas"] for p in plan["partitions"]} == \
        {n: r for n, r in after.items() if r != before[n]}
    again = run("reassign", "apply", "plan.json")
    assert "Nothing has to move." in ok(again)
    assert run("reassign", "plan", "--add", 4, "--topic", topic).stderr == "Nothing has to move.\n"


def test_the_replication_factor_goes_up_and_down(three):
    topic = make_topic(three, partitions=6, replicas=1)
    fill(three, topic, 6, 6)
    run = run_in(three)
    args = ("reassign", "apply", "--topic", topic, "--replication-factor")
    lines = ok(run(*args, 3, "--json")).splitlines()
    last = json.loads(lines[-1])
    assert last["finished"] and last["partitions"] == last["partitions_done"] == 6
    assert last["bytes_copied"] == last["bytes_total"] > 2 * (6 << 20)
    assert all(sorted(r) == [1, 2, 3] for r in replicas(three, topic).values())
    wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "all are in sync")
    ok(run(*args, 2))
    assert [len(r) for r in replicas(three, topic).values()] == [2] * 6
    held = [id for r in replicas(three, topic).values() for id in r]
    assert [held.count(id) for id in (1, 2, 3)] == [4, 4, 4]
    refused(run(*args, 5), "5 replicas, and 3 brokers", "add brokers")
    assert len(list(three.path.glob("reassign-2*.json"))) >= 1


def slow_move(cluster, topic):
    """Begins what takes minutes: one partition, by another broker's throttle."""
    fill(cluster, topic, 1, 16)
    run = run_in(cluster)
    out = ok(run("reassign", "apply", "--topic", topic, "--replication-factor", 2, "--throttle",
                 100000, "--no-wait", "--save", "before.json"))
    assert "klamm reassign watch" in out
    return run


def test_a_reassignment_is_cancelled_and_its_throttle_with_it(three):
    topic = make_topic(three, partitions=1, replicas=1)
    before = replicas(three, topic)
    run = slow_move(three, topic)
    wait_until(lambda: len(replicas(three, topic)[0]) == 2, "it goes on")
    assert len(throttles(three, topic)) == 6
    refused(run("reassign", "apply", "before.json"), f"{topic}-0", "--additional")
    refused(run("reassign", "cancel"), "--all", code=2)
    assert ok(run("reassign", "cancel", "--topic", f"{topic}:5", "--preserve-throttles")) == \
        "Nothing of that is being reassigned.\n1 other goes on, and so does a throttle.\n"
    out = ok(run("reassign", "cancel", "--topic", f"{topic}:0"))
    assert "Cancelled for 1 partition." in out and "The throttle was taken off" in out
    assert replicas(three, topic) == before
    assert throttles(three, topic) == {}


def test_an_interrupted_watch_leaves_it_going_and_says_how_to_go_on(three):
    topic = make_topic(three, partitions=1, replicas=1)
    run = slow_move(three, topic)
    watch = start_in(three, "reassign", "watch", "--json")
    first = json.loads(watch.stdout.readline())
    assert first["partitions"] == 1 and first["partitions_done"] == 0 and not first["finished"]
    assert first["bytes_total"] > 16 << 20
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=30)
    assert watch.returncode == 1 and "klamm reassign watch" in err and "cancel --all" in err
    assert len(throttles(three, topic)) == 6
    # Faster; which a second apply does, as Kafka's tool has it.
    plan = {"version": 1, "partitions": [{"topic": topic, "partition": 0,
                                          "replicas": replicas(three, topic)[0]}]}
    (three.path / "again.json").write_text(json.dumps(plan))
    out = ok(run("reassign", "apply", "again.json", "--additional", "--throttle", 100000000,
                 "--save", "x.json"))
    assert "The throttle was taken off" in out
    assert len(replicas(three, topic)[0]) == 2 and throttles(three, topic) == {}


def test_a_broker_that_is_gone_is_drained_and_one_that_is_missing_is_told(three):
    topic = make_topic(three, partitions=3, replicas=2)
    before = replicas(three, topic)
    three.brokers[2].kill()
    wait_until(lambda: all(3 not in i for i in isrs(three, topic).values()),
               "it is out of the ISRs")
    run = run_in(three)
    plan = {"version": 1, "partitions": [{"topic": topic, "partition": n, "replicas": [3]}
                                         for n, r in before.items() if 3 not in r]}
    (three.path / "plan.json").write_text(json.dumps(plan))
    refused(run("reassign", "apply", "plan.json"), "broker 3, which is not there", "1, 2")
    ok(run("reassign", "apply", "--drain", 3, "--topic", topic, "--save", "x.json"))
    assert all(sorted(r) == [1, 2] for r in replicas(three, topic).values())


def test_mistakes_in_plans_are_told_before_anything_is_done(three):
    topic = make_topic(three, partitions=1, replicas=1)
    run = run_in(three)
    refused(run("reassign", "plan"), "--drain", code=2)
    refused(run("reassign", "plan", "--drain", "1,x"), "'1,x'", code=2)
    refused(run("reassign", "plan", "--replication-factor", 2), "--all-topics", code=2)
    refused(run("reassign", "plan", "--drain", 9), "no broker 9; there are: 1, 2, 3")
    refused(run("reassign", "plan", "--drain", 1, "--topic", "nope"), "no topic 'nope'")
    refused(run("reassign", "apply"), "which plan", code=2)
    refused(run("reassign", "apply", "nope.json"), "nope.json", code=2)
    bad = three.path / "bad.json"
    bad.write_text('{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,1]}]}')
    refused(run("reassign", "apply", bad), "broker 1 stands twice", code=2)
    bad.write_text('{"version":1,"partitions":[{"topic":"nope","partition":0,"replicas":[1]}]}')
    refused(run("reassign", "apply", bad), "no partition nope-0")
    bad.write_text('{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2,3]}]}')
    refused(run("reassign", "apply", bad, "--save", "/nonexistent/x"), "--save")
    refused(run("reassign", "apply", bad, "--drain", 1), "leave the options", code=2)
    assert len(replicas(three, topic)[0]) == 1


def test_a_new_controller_is_found_while_replicas_move(three):
    run = run_in(three)
    office = json.loads(ok(run("cluster", "--json")))["controller"]
    controller = next(b for b in three.brokers if b.id == office)
    others = [b for b in three.brokers if b is not controller]
    topic = "t"
    ok(run("topic", "create", topic, "--replica-assignment", others[0].id))
    fill(three, topic, 1, 6)
    plan = {"version": 1, "partitions": [{"topic": topic, "partition": 0,
                                          "replicas": [b.id for b in others]}]}
    (three.path / "plan.json").write_text(json.dumps(plan))
    moving = start_in(three, "reassign", "apply", "plan.json", "--throttle", 1500000, "-b",
                      ",".join(b.bootstrap for b in others))
    wait_until(lambda: len(throttles(three, topic)) == 6 or moving.poll() is not None, "it moves")
    controller.kill()
    out, err = moving.communicate(timeout=120)
    assert moving.returncode == 0, (out, err)
    assert "The throttle was taken off 1 topic and 2 brokers." in out
    assert replicas(three, topic) == {0: [b.id for b in others]}


def test_a_plan_may_change_the_order_only(three):
    topic = make_topic(three, partitions=1, replicas=3)
    plan = {"version": 1, "partitions": [{"topic": topic, "partition": 0,
                                          "replicas": replicas(three, topic)[0][::-1]}]}
    (three.path / "plan.json").write_text(json.dumps(plan))
    out = ok(run_in(three)("reassign", "apply", "plan.json"))
    assert "copies 0 replicas: 0 bytes." in out
    assert "Nothing moves any longer: 1 partition, 0 bytes in " in out
    assert replicas(three, topic)[0] == plan["partitions"][0]["replicas"]
