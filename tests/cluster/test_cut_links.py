"""Links that break, between brokers and to the ensemble, while all processes live."""
import os
import random
import time

import pytest
from kazoo.client import KazooClient

from cluster_load import (Load, check_all, consume_all, create_on, described_by, end, isr_is,
                          isr_of, leader_of, make_topic, make_topic_on, segments, wait_whole)
from conftest import wait_until
from links import BLACKHOLE, CUT, HOLD, PASS, LinkedCluster
from wire import Connection, record_batch

NONE = 0
# A client that asks again soon when a leader that is none takes records and cannot acknowledge them.
IMPATIENT = {"request.timeout.ms": 3000, "socket.timeout.ms": 5000}


@pytest.fixture
def make_cluster(tmp_path, zookeeper):
    made = []

    def make(config=None):
        c = LinkedCluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
            "min.insync.replicas": 2, "replica.lag.time.max.ms": 3000,
            "zookeeper.session.timeout.ms": 2000, "replica.socket.timeout.ms": 3000,
            "request.timeout.ms": 3000, "controller.socket.timeout.ms": 3000,
            "auto.leader.rebalance.enable": "false", **(config or {})})
        made.append(c)
        return c.start()

    yield make
    for c in made:
        end(c)
        c.links.stop()


@pytest.fixture
def zk(zookeeper, tmp_path):
    client = KazooClient(hosts=f"{zookeeper.connect}/{tmp_path.name}")
    client.start(timeout=30)
    yield client
    client.stop()
    client.close()


def broker_of(cluster, broker_id):
    return next(b for b in cluster.brokers if b.id == broker_id)


def controller_of(cluster):
    """The broker that has the office, by its own metrics."""
    return wait_until(lambda: next((b for b in cluster.brokers
                                    if b.metric("klamm_active_controller") == 1), None),
                      "there is a controller")


def others(cluster, *some):
    return [b for b in cluster.brokers if b not in some]


def send_one(broker, acks, value, topic="t", timeout_ms=1000):
    """The error with which the broker answers."""
    with Connection(broker.port) as c:
        answer = c.call("Produce", 9, {"Acks": acks, "TimeoutMs": timeout_ms, "TopicData": [
            {"Name": topic, "PartitionData": [
                {"Index": 0, "Records": record_batch(2, b"k", value)}]}]})
    return answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"]


# ---- single links ------------------------------------------------------------------------------


def test_a_leader_goes_on_without_a_follower_that_it_cannot_reach(make_cluster):
    """Cut, silent, and silent in one direction only: the follower asks and hears no answer."""
    c = make_cluster()
    topic = make_topic_on(c, "t", [[1, 2, 3]])
    load = Load(c, topic, pause_s=0.001)
    for mode, back, follower in (CUT, True, 2), (HOLD, True, 3), (BLACKHOLE, False, 2):
        load.wait_acked(300)
        c.links.set(mode, 1, follower, back=back)
        wait_until(lambda: isr_is(c, topic, {1, 2, 3} - {follower}), "it has left the ISR")
        load.wait_acked(300)
        c.links.heal()
        wait_whole(c, topic)
    check_all(c, topic, load)
    assert [b.errors() for b in c.brokers] == [[], [], []]


def test_a_controller_that_cannot_reach_a_broker_commands_the_others(make_cluster):
    """The one that accepts and never answers is asked again; nobody waits for it."""
    c = make_cluster()
    controller = controller_of(c)
    deaf, third = others(c, controller)
    topic = make_topic_on(c, "t", [[third.id, controller.id, deaf.id]])
    load = Load(c, topic, pause_s=0.001)
    load.wait_acked(300)
    said = 0
    for mode in HOLD, BLACKHOLE, CUT:
        c.links.set(mode, controller.id, deaf.id)
        began = time.monotonic()
        make_topic_on(c, f"beside-{mode}", [[third.id, controller.id], [controller.id, third.id]])
        assert time.monotonic() - began < 2
        create_on(controller, f"with-{mode}", [[deaf.id, third.id], [third.id, deaf.id]])
        load.wait_acked(300)
        said += 1
        wait_until(lambda: controller.log().count(
            f"cannot reach a broker; trying until it is gone broker={deaf.id}") == said,
            "the controller says so")
        assert not (deaf.data / f"with-{mode}-0").exists()
        c.links.heal()
        wait_until(lambda: controller.log().count("reached the broker again") == said, "it is heard")
        wait_until(lambda: (deaf.data / f"with-{mode}-0").exists() and
                   isr_is(c, f"with-{mode}", {deaf.id, third.id}), "the broker has what it missed")
        wait_whole(c, topic)
    check_all(c, topic, load)
    assert [b.errors() for b in c.brokers] == [[], [], []]


def test_a_broker_that_accepts_and_never_answers_holds_up_only_what_it_leads(make_cluster):
    c = make_cluster()
    mute = others(c, controller_of(c))[0]
    a, b = others(c, mute)
    make_topic_on(c, "t", [[a.id, b.id, mute.id], [b.id, mute.id, a.id]])
    make_topic_on(c, "of-mute", [[mute.id, a.id, b.id]])
    load, of_mute = Load(c, "t", pause_s=0.001), Load(c, "of-mute", 0.001, IMPATIENT)
    load.wait_acked(300)
    of_mute.wait_acked(300)
    c.links.isolate(BLACKHOLE, mute.id, [a.id, b.id])
    wait_until(lambda: isr_of(c, a) == {a.id, b.id}, "it has left the ISR of the others")
    load.wait_acked(1000)
    c.links.heal()
    wait_whole(c, "t")
    wait_whole(c, "of-mute")
    of_mute.wait_acked(300)
    check_all(c, "t", load)
    check_all(c, "of-mute", of_mute)
    assert [x.errors() for x in c.brokers] == [[], [], []]


# ---- two that lead, two that command -----------------------------------------------------------


@pytest.mark.parametrize("alone", ["from the ensemble", "from everybody"])
def test_of_two_brokers_that_believe_they_lead_one_acknowledges(make_cluster, alone):
    """The leader is cut off and does not know that it was replaced. Clients reach it still: it takes
    what need not be replicated, as any leader does, and that is gone when it is back; acks=all it
    does not acknowledge any more."""
    c = make_cluster()
    topic = make_topic_on(c, "t", [[i, i % 3 + 1, (i + 1) % 3 + 1] for i in (1, 2, 3)])
    old = leader_of(c, topic)
    load = Load(c, topic, 0.001, IMPATIENT)
    load.wait_acked(300)
    c.links.isolate(HOLD, old.id, ["zookeeper"] if alone == "from the ensemble" else c.everybody())
    wait_until(lambda: old.id not in {p.leader for p in described_by(c, old, topic).values()},
               "it is replaced")
    load.wait_acked(300)
    assert described_by(c, broker_of(c, old.id % 3 + 1), topic)  # somebody answers
    assert send_one(old, 1, b"-1") == NONE
    assert send_one(old, -1, b"-2") != NONE
    load.wait_acked(300)
    c.links.heal()
    wait_whole(c, topic)
    load.wait_acked(300)
    load.stop()
    wait_whole(c, topic)
    got = consume_all(c, topic)
    assert not {-1, -2} & {v for values in got.values() for v in values}
    check_all(c, topic, load)
    assert [b.errors() for b in c.brokers] == [[], [], []]


def test_what_a_replaced_controller_sent_late_is_refused(make_cluster, zk):
    """Its orders hang in a link while it loses its session without knowing, another is elected, and
    that has spoken. Then they arrive."""
    c = make_cluster({"request.timeout.ms": 60000, "controller.socket.timeout.ms": 60000})
    old = controller_of(c)
    a, b = others(c, old)
    topic = make_topic_on(c, "t", [[a.id, b.id, old.id]])
    load = Load(c, topic, 0.001, IMPATIENT)
    load.wait_acked(300)
    c.links.set(HOLD, old.id, a.id)
    create_on(old, "late", [[a.id, b.id]])
    state = zk.get("/brokers/topics/late/partitions/0/state")
    c.links.set(HOLD, old.id, "zookeeper")
    new = wait_until(lambda: next((x for x in (a, b) if x.metric("klamm_active_controller") == 1),
                                  None), "another is the controller")
    wait_until(lambda: described_by(c, old, "late")[0].leader == a.id, "it has told the others")
    assert old.metric("klamm_active_controller") == 1, "the former one knows"
    c.links.set(PASS, old.id, a.id)
    wait_until(lambda: "a broker refused a request" in old.log(), "its orders are refused")
    assert f"broker={a.id} api=LeaderAndIsr error=STALE_CONTROLLER_EPOCH" in old.log()
    with Connection(a.port) as connection:
        assert connection.call("Metadata", 9, {"Topics": []})["ControllerId"] == new.id
    c.links.heal()
    wait_until(lambda: "resigned as controller" in old.log(), "it learns")
    wait_whole(c, topic)
    now = zk.get("/brokers/topics/late/partitions/0/state")
    assert now[1].version - state[1].version <= 1  # nobody but the new one wrote it, once at most
    check_all(c, topic, load)
    assert [x.errors() for x in c.brokers] == [[], [], []]


def test_a_leader_turns_to_the_next_controller_at_once(make_cluster):
    """What it proposed for the ISR waits at a controller that hangs. When another is elected it goes
    there, long before that request would have timed out."""
    c = make_cluster({"request.timeout.ms": 60000, "min.insync.replicas": 1})
    hung = controller_of(c)
    leader, follower = others(c, hung)
    topic = make_topic_on(c, "t", [[leader.id, follower.id, hung.id]])
    load = Load(c, topic, 0.001)
    load.wait_acked(300)
    c.links.set(HOLD, leader.id, follower.id)
    wait_until(lambda: isr_is(c, topic, {leader.id, hung.id}), "one has left the ISR")
    c.links.set(HOLD, leader.id, hung.id)
    wait_until(lambda: len(load.producer) >= 1000, "records wait")
    c.links.set(PASS, leader.id, follower.id)
    wait_until(lambda: segments(leader, topic, 0) == segments(follower, topic, 0), "it caught up")
    c.links.set(HOLD, hung.id, "zookeeper")
    wait_until(lambda: isr_of(c, leader) == {leader.id, follower.id}, "it is in the ISR again", 15)
    load.wait_acked(300)
    c.links.heal()
    wait_whole(c, topic)
    check_all(c, topic, load)


# ---- one after the other -----------------------------------------------------------------------


LINK_ROUNDS = int(os.environ.get("LINK_ROUNDS", "4"))


def break_links(cluster, chance):
    """Breaks links of one broker, at random: to others or the ensemble, both ways or one."""
    victim = chance.choice(cluster.brokers)
    mode = chance.choice([CUT, HOLD, BLACKHOLE])
    back = chance.random() < 0.7
    what = chance.choice(["one peer", "both peers", "the ensemble", "everybody"])
    rest = [b.id for b in others(cluster, victim)]
    targets = {"one peer": [chance.choice(rest)], "both peers": rest,
               "the ensemble": ["zookeeper"], "everybody": cluster.everybody()}[what]
    print(mode, "both ways" if back else "one way", victim.id, what)
    for target in targets:
        if target != victim.id:
            cluster.links.set(mode, *chance.sample([victim.id, target], 2), back=back)


def kill_one(cluster, chance):
    """Sometimes a process dies as well, of those that are cut off or another."""
    if chance.random() < 0.3:
        victim = chance.choice(cluster.brokers)
        print("killed", victim.id)
        victim.kill()


def test_records_survive_links_that_break_one_after_the_other(make_cluster):
    """FAULT_SEED replays the choice; LINK_ROUNDS asks for more."""
    seed = int(os.environ.get("FAULT_SEED", int.from_bytes(os.urandom(4), "big")))
    print(f"FAULT_SEED={seed}")
    chance = random.Random(seed)
    c = make_cluster()
    topic = make_topic(c, partitions=3)
    load = Load(c, topic, 0.002, IMPATIENT)
    for _ in range(LINK_ROUNDS):
        load.wait_acked(chance.randrange(1, 500))
        break_links(c, chance)
        kill_one(c, chance)
        until = time.monotonic() + chance.choice([1, 3, 5])
        wait_until(lambda: time.monotonic() > until, "the fault has lasted")
        c.links.heal()
        for broker in c.brokers:
            if not broker.process.running():
                broker.start()
        wait_whole(c, topic)
    check_all(c, topic, load)
