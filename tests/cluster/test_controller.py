"""What is asked of the controller: elections, reassignments, deletions, in a cluster of three."""
import json
import signal

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from kazoo.client import KazooClient

from cluster_load import Load, check_once_and_in_order, consume_all, segments
from conftest import Cluster, wait_until
from wire import Connection, record_batch

NONE, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_CONTROLLER, REQUEST_TIMED_OUT = 0, 3, 5, 41, 7
PREFERRED_NOT_AVAILABLE, ELIGIBLE_NOT_AVAILABLE, NOT_NEEDED = 80, 83, 84
INVALID_ASSIGNMENT, NO_REASSIGNMENT, REASSIGNMENT_IN_PROGRESS, MESSAGE_TOO_LARGE = 39, 85, 60, 10
PREFERRED, UNCLEAN = 0, 1
TOPIC_RESOURCE, BROKER_RESOURCE = 2, 4
UNBALANCED = {"auto.leader.rebalance.enable": "false"}


@pytest.fixture
def make_cluster(tmp_path, zookeeper):
    made = []

    def make(config=None, count=3):
        path = tmp_path / f"c{len(made)}"
        chroot = f"/{tmp_path.name}-{len(made)}"
        c = Cluster(path, count, zookeeper=zookeeper, chroot=chroot, config={
            "zookeeper.session.timeout.ms": 2000, "replica.lag.time.max.ms": 5000,
            "offsets.topic.num.partitions": 1, **(config or {})}).start()
        made.append(c)
        return c

    yield make
    for c in made:
        for broker in c.brokers:
            if broker.process is not None and broker.process.running():
                broker.process.send(signal.SIGCONT)
                broker.process.stop(signal.SIGKILL)


@pytest.fixture
def ensemble(zookeeper):
    """A client of the ensemble; paths are below the chroot of the cluster."""
    client = KazooClient(zookeeper.connect)
    client.start()
    yield client
    client.stop()
    client.close()


def admin(cluster):
    """A client of the brokers that run; the cluster keeps it, since its futures need it."""
    bootstrap = ",".join(b.bootstrap for b in cluster.brokers if b.process.running())
    if getattr(cluster, "admin", (None,))[0] != bootstrap:
        cluster.admin = bootstrap, AdminClient({"bootstrap.servers": bootstrap})
    return cluster.admin[1]


def awake(cluster):
    """The brokers that answer: neither dead nor held still."""
    return [b for b in cluster.brokers if b.process.running() and not b.process.held]


def described(cluster, topic):
    client = AdminClient({"bootstrap.servers": ",".join(b.bootstrap for b in awake(cluster))})
    return client.list_topics(topic, timeout=10).topics[topic].partitions


def make_topic(cluster, assignment, name="t", config=None):
    """assignment: the replicas of each partition."""
    admin(cluster).create_topics([NewTopic(
        name, len(assignment), replica_assignment=assignment, config=config or {})])[name].result(30)
    wait_until(lambda: all(set(p.isrs) == set(assignment[n])
                           for n, p in described(cluster, name).items()), "all are in sync")
    return name


def by_id(cluster, broker_id):
    return next(b for b in cluster.brokers if b.id == broker_id)


def controller_id(cluster):
    def named():
        for broker in awake(cluster):
            with Connection(broker.port) as c:
                i = c.call("Metadata", 9, {"Topics": []})["ControllerId"]
            if i > 0 and by_id(cluster, i) in awake(cluster):
                return i
        return None
    return wait_until(named, "there is a controller")


def ask_controller(cluster, name, version, values):
    with Connection(by_id(cluster, controller_id(cluster)).port) as c:
        return c.call(name, version, values)


def elect(cluster, election_type, partitions, topic="t"):
    """{partition: error} of the topic."""
    answer = ask_controller(cluster, "ElectLeaders", 2, {
        "ElectionType": election_type, "TimeoutMs": 20000,
        "TopicPartitions": None if partitions is None else [
            {"Topic": topic, "Partitions": partitions}]})
    assert answer["ErrorCode"] == NONE
    return {p["PartitionId"]: p["ErrorCode"] for t in answer["ReplicaElectionResults"]
            if t["Topic"] == topic for p in t["PartitionResult"]}


def leaders(cluster, topic="t"):
    """As the controller's broker tells: elections have ended when that knows."""
    answer = ask_controller(cluster, "Metadata", 9, {
        "Topics": [{"Name": topic}], "AllowAutoTopicCreation": False})
    return {p["PartitionIndex"]: p["LeaderId"] for p in answer["Topics"][0]["Partitions"]}


def come_back(cluster, broker, topic="t"):
    broker.start()
    wait_until(lambda: all(broker.id in p.isrs for p in described(cluster, topic).values()
                           if broker.id in p.replicas), f"broker {broker.id} is in sync again")


def state_of(cluster, ensemble, topic, partition):
    path = f"{cluster.chroot}/brokers/topics/{topic}/partitions/{partition}/state"
    return json.loads(ensemble.get(path)[0])


def no_errors(cluster):
    assert [b.errors() for b in cluster.brokers] == [[] for _ in cluster.brokers]


# ---- elections ---------------------------------------------------------------------------------


def test_preferred_leaders_lead_again_when_they_are_asked_for(make_cluster, ensemble):
    c = make_cluster(UNBALANCED)
    make_topic(c, [[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    by_id(c, 2).stop()
    wait_until(lambda: leaders(c) == {0: 1, 1: 3, 2: 3}, "2 leads no more")
    assert elect(c, PREFERRED, [0, 1, 9]) == {0: NOT_NEEDED, 1: PREFERRED_NOT_AVAILABLE,
                                              9: UNKNOWN_TOPIC}
    come_back(c, by_id(c, 2))
    assert leaders(c) == {0: 1, 1: 3, 2: 3}
    assert elect(c, PREFERRED, [0, 1, 2]) == {0: NOT_NEEDED, 1: NONE, 2: NOT_NEEDED}
    assert leaders(c) == {0: 1, 1: 2, 2: 3}
    # As the tools of old ask: by a znode, which goes when it is done.
    by_id(c, 3).restart()
    wait_until(lambda: all(3 in p.isrs for p in described(c, "t").values()), "3 is in sync again")
    assert leaders(c)[2] != 3
    path = f"{c.chroot}/admin/preferred_replica_election"
    ensemble.create(path, json.dumps({"version": 1, "partitions": [
        {"topic": "t", "partition": 2}, {"topic": "absent", "partition": 0}]}).encode())
    wait_until(lambda: leaders(c) == {0: 1, 1: 2, 2: 3}, "3 leads again")
    wait_until(lambda: not ensemble.exists(path), "the request is gone")
    ensemble.create(path, b"nothing that can be read")
    wait_until(lambda: not ensemble.exists(path), "nonsense goes as well")


def test_all_partitions_may_be_meant_and_others_than_the_controller_refuse(make_cluster):
    c = make_cluster(UNBALANCED)
    make_topic(c, [[1, 2, 3], [2, 3, 1]])
    other = next(b for b in c.brokers if b.id != controller_id(c))
    with Connection(other.port) as connection:
        answer = connection.call("ElectLeaders", 2, {"TopicPartitions": [
            {"Topic": "t", "Partitions": [0]}]})
    assert answer["ReplicaElectionResults"][0]["PartitionResult"][0]["ErrorCode"] == NOT_CONTROLLER
    by_id(c, 1).restart()
    wait_until(lambda: all(1 in p.isrs for p in described(c, "t").values()), "1 is in sync again")
    assert leaders(c)[0] != 1
    assert elect(c, PREFERRED, None) == {0: NONE}
    assert leaders(c) == {0: 1, 1: 2}
    no_errors(c)


def allow_unclean(cluster, resource_type, name):
    answer = ask_controller(cluster, "IncrementalAlterConfigs", 1, {"Resources": [
        {"ResourceType": resource_type, "ResourceName": name, "Configs": [
            {"Name": "unclean.leader.election.enable", "ConfigOperation": 0, "Value": "true"}]}]})
    assert [r["ErrorCode"] for r in answer["Responses"]] == [NONE]


def test_an_unclean_leader_is_elected_when_asked_for_or_allowed(make_cluster, ensemble):
    c = make_cluster(UNBALANCED)
    keep = controller_id(c)
    a, b = [i for i in (1, 2, 3) if i != keep]
    make_topic(c, [[a, b], [a, b]])
    make_topic(c, [[a, b]], name="u")
    by_id(c, b).kill()
    wait_until(lambda: all(p.isrs == [a] for t in "tu" for p in described(c, t).values()),
               "one has left the ISR")
    by_id(c, a).kill()
    wait_until(lambda: set(leaders(c).values()) == {-1}, "nobody leads")
    assert elect(c, UNCLEAN, [0]) == {0: ELIGIBLE_NOT_AVAILABLE}
    by_id(c, b).start()
    assert leaders(c) == {0: -1, 1: -1}
    assert elect(c, UNCLEAN, [0]) == {0: NONE}
    assert leaders(c) == {0: b, 1: -1} and leaders(c, "u") == {0: -1}
    # A topic's setting, and then the cluster's, allow it without anyone asking.
    allow_unclean(c, TOPIC_RESOURCE, "t")
    wait_until(lambda: leaders(c) == {0: b, 1: b}, "the topic's setting holds")
    assert leaders(c, "u") == {0: -1}
    allow_unclean(c, BROKER_RESOURCE, "")
    wait_until(lambda: leaders(c, "u") == {0: b}, "the cluster's setting holds")


def test_leaders_are_balanced_by_themselves(make_cluster):
    c = make_cluster({"leader.imbalance.check.interval.seconds": 1})
    make_topic(c, [[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    for broker in c.brokers:
        broker.restart()
        wait_until(lambda: leaders(c) == {0: 1, 1: 2, 2: 3}, "each leads what prefers it")
    assert any("balancing leaders" in b.log() for b in c.brokers)


# ---- reassignment ------------------------------------------------------------------------------


def reassign(cluster, targets, topic="t"):
    """targets: replicas by partition, None to cancel. {partition: error}."""
    answer = ask_controller(cluster, "AlterPartitionReassignments", 0, {
        "TimeoutMs": 20000, "Topics": [{"Name": topic, "Partitions": [
            {"PartitionIndex": n, "Replicas": r} for n, r in targets.items()]}]})
    assert answer["ErrorCode"] == NONE
    return {p["PartitionIndex"]: p["ErrorCode"] for p in answer["Responses"][0]["Partitions"]}


def moving(cluster, topics=None):
    """{(topic, partition): (replicas, adding, removing)}."""
    answer = ask_controller(cluster, "ListPartitionReassignments", 0, {"Topics": topics})
    assert answer["ErrorCode"] == NONE
    return {(t["Name"], p["PartitionIndex"]): (p["Replicas"], p["AddingReplicas"],
                                               p["RemovingReplicas"])
            for t in answer["Topics"] for p in t["Partitions"]}


def assignment_of(cluster, ensemble, topic="t"):
    node = json.loads(ensemble.get(f"{cluster.chroot}/brokers/topics/{topic}")[0])
    assert node["version"] == 3 and len(node["topic_id"]) == 22
    return ({int(n): r for n, r in node["partitions"].items()}, node["adding_replicas"],
            node["removing_replicas"])


def held_by(cluster, topic, partition):
    return {b.id for b in cluster.brokers if (b.data / f"{topic}-{partition}").is_dir()}


def wait_moved(cluster, ensemble, targets, topic="t"):
    wait_until(lambda: moving(cluster) == {}, "nothing moves any more", 60)
    assert assignment_of(cluster, ensemble, topic) == (targets, {}, {})
    wait_until(lambda: all(held_by(cluster, topic, n) == set(r) for n, r in targets.items()),
               "the replicas are where they belong, and nowhere else")
    wait_until(lambda: all((set(p.isrs), p.replicas) == (set(targets[n]), targets[n])
                           for n, p in described(cluster, topic).items()), "and in sync")


def test_partitions_move_under_load_and_nothing_is_lost(make_cluster, ensemble):
    c = make_cluster({**UNBALANCED, "min.insync.replicas": 2}, count=4)
    make_topic(c, [[1, 2], [2, 3], [3, 1]])
    load = Load(c, "t")
    load.wait_acked(2000)
    for targets in ({0: [3, 4], 1: [4, 2], 2: [1, 2, 3]}, {0: [1, 2, 3], 1: [3, 1], 2: [4, 1]}):
        assert reassign(c, targets) == {0: NONE, 1: NONE, 2: NONE}
        wait_moved(c, ensemble, targets)
        load.wait_acked(1000)
    load.stop()
    check_once_and_in_order(load, consume_all(c, "t"))
    for number, replicas in targets.items():
        wait_until(lambda: len({tuple(segments(by_id(c, i), "t", number).items())
                                for i in replicas}) == 1, "replicas are the same, byte for byte")
    no_errors(c)


def test_a_move_is_listed_taken_back_and_replaced(make_cluster, ensemble):
    c = make_cluster({**UNBALANCED, "zookeeper.session.timeout.ms": 30000}, count=4)
    keep = controller_id(c)
    a, b, slow = [i for i in (1, 2, 3, 4) if i != keep]
    make_topic(c, [[keep, a]])
    by_id(c, slow).process.send(signal.SIGSTOP)
    assert reassign(c, {0: [slow, a]}) == {0: NONE}
    assert moving(c) == {("t", 0): ([slow, a, keep], [slow], [keep])}
    assert moving(c, [{"Name": "t", "PartitionIndexes": [0]}]) == moving(c)
    assert moving(c, [{"Name": "t", "PartitionIndexes": [1]}]) == {}
    assert assignment_of(c, ensemble) == ({0: [slow, a, keep]}, {"0": [slow]}, {"0": [keep]})
    state = state_of(c, ensemble, "t", 0)
    assert (state["leader"], state["leader_epoch"]) == (keep, 1)
    # Another target takes its place; partitions cannot be added meanwhile.
    answer = ask_controller(c, "CreatePartitions", 3, {
        "TimeoutMs": 10000, "Topics": [{"Name": "t", "Count": 2, "Assignments": None}]})
    assert answer["Results"][0]["ErrorCode"] == REASSIGNMENT_IN_PROGRESS
    assert reassign(c, {0: [b, slow]}) == {0: NONE}
    assert moving(c) == {("t", 0): ([b, slow, a, keep], [b, slow], [a, keep])}
    wait_until(lambda: b in state_of(c, ensemble, "t", 0)["isr"], "the other has caught up")
    assert reassign(c, {0: None}) == {0: NONE}
    assert moving(c) == {}
    assert assignment_of(c, ensemble) == ({0: [a, keep]}, {}, {})  # targets went to the front
    assert sorted(state_of(c, ensemble, "t", 0)["isr"]) == sorted([keep, a])
    by_id(c, slow).process.send(signal.SIGCONT)
    wait_until(lambda: held_by(c, "t", 0) == {keep, a}, "what was begun is gone")
    assert reassign(c, {0: None, 7: [a], 8: None}) == {0: NO_REASSIGNMENT, 7: UNKNOWN_TOPIC,
                                                       8: NO_REASSIGNMENT}
    assert reassign(c, {0: [a, a]}) == {0: INVALID_ASSIGNMENT}
    assert reassign(c, {0: [a, 99]}) == {0: INVALID_ASSIGNMENT}


def test_a_move_goes_on_under_the_next_controller(make_cluster, ensemble):
    c = make_cluster({**UNBALANCED}, count=4)
    old = controller_id(c)
    a, b, target = [i for i in (1, 2, 3, 4) if i != old]
    make_topic(c, [[a, b], [b, a]])
    load = Load(c, "t")
    load.wait_acked(500)
    by_id(c, target).process.send(signal.SIGSTOP)
    targets = {0: [target, a], 1: [b, target]}
    assert reassign(c, targets) == {0: NONE, 1: NONE}
    by_id(c, old).kill()
    by_id(c, target).process.send(signal.SIGCONT)
    wait_until(lambda: controller_id(c) != old, "there is another controller")
    wait_moved(c, ensemble, targets)
    load.stop()
    check_once_and_in_order(load, consume_all(c, "t"))


def test_a_move_to_a_broker_that_dies_ends_when_that_is_back(make_cluster, ensemble):
    c = make_cluster(UNBALANCED)
    keep = controller_id(c)
    a, target = [i for i in (1, 2, 3) if i != keep]
    make_topic(c, [[keep, a]])
    by_id(c, target).process.send(signal.SIGSTOP)
    assert reassign(c, {0: [a, target]}) == {0: NONE}
    by_id(c, target).kill()
    wait_until(lambda: len(described_by_controller(c)) == 2, "the target is gone")
    assert list(moving(c)) == [("t", 0)]
    by_id(c, target).start()
    wait_moved(c, ensemble, {0: [a, target]})


def described_by_controller(cluster):
    return ask_controller(cluster, "Metadata", 9, {"Topics": []})["Brokers"]


def test_tools_of_old_move_partitions_by_a_znode(make_cluster, ensemble):
    c = make_cluster(UNBALANCED)
    make_topic(c, [[1, 2], [2, 3]])
    path = f"{c.chroot}/admin/reassign_partitions"
    for targets in {0: [3, 1], 1: [1]}, {0: [2], 1: [3, 2]}:
        ensemble.create(path, json.dumps({"version": 1, "partitions": [
            {"topic": "t", "partition": n, "replicas": r} for n, r in targets.items()] + [
                {"topic": "absent", "partition": 0, "replicas": [1]}]}).encode())
        wait_until(lambda: not ensemble.exists(path), "the request is gone")
        wait_moved(c, ensemble, targets)
    ensemble.create(path, b"{")
    wait_until(lambda: not ensemble.exists(path), "nonsense goes as well")
    assert assignment_of(c, ensemble)[0] == targets


def test_a_topic_keeps_its_settings_where_only_one_of_its_replicas_goes(make_cluster, ensemble):
    c = make_cluster(UNBALANCED)
    make_topic(c, [[1, 2], [1, 2]], config={"max.message.bytes": "1000"})
    assert reassign(c, {0: [2, 3]}) == {0: NONE}
    wait_moved(c, ensemble, {0: [2, 3], 1: [1, 2]})
    with Connection(by_id(c, 1).port) as connection:
        answer = connection.call("Produce", 9, {"Acks": 1, "TimeoutMs": 10000, "TopicData": [
            {"Name": "t", "PartitionData": [
                {"Index": 1, "Records": record_batch(2, b"k", b"v" * 2000)}]}]})
    assert answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == MESSAGE_TOO_LARGE


# ---- deletion ----------------------------------------------------------------------------------


def test_a_topic_with_a_replica_on_a_dead_broker_goes_when_that_is_back(make_cluster, ensemble):
    c = make_cluster()
    keep = controller_id(c)
    victim = next(b for b in c.brokers if b.id != keep)
    make_topic(c, [[1, 2, 3], [2, 3, 1]])
    victim.kill()
    wait_until(lambda: all(victim.id not in p.isrs for p in described(c, "t").values()),
               "it has left the ISR")
    admin(c).delete_topics(["t"])["t"].result(30)
    alive = [b for b in c.brokers if b is not victim]
    wait_until(lambda: not any((b.data / f"t-{n}").exists() for b in alive for n in (0, 1)),
               "the others have deleted theirs")
    assert ensemble.exists(f"{c.chroot}/brokers/topics/t")
    assert (victim.data / "t-0").exists()
    victim.start()
    wait_until(lambda: not ensemble.exists(f"{c.chroot}/brokers/topics/t"), "the znode is gone")
    wait_until(lambda: not ensemble.exists(f"{c.chroot}/admin/delete_topics/t"), "and the request")
    assert not (victim.data / "t-0").exists()


def test_a_broker_that_was_told_nothing_yet_sends_clients_to_ask_again(make_cluster):
    """It may be asked for a topic that it does not know of yet: that is no reason to make it."""
    c = make_cluster({"default.replication.factor": 3, "zookeeper.session.timeout.ms": 10000,
                      "klamm.supervisor.hang.timeout.ms": 60000})
    make_topic(c, [[1, 2, 3]])
    controller = by_id(c, controller_id(c))
    broker = next(b for b in c.brokers if b is not controller)
    broker.stop()
    controller.process.send(signal.SIGSTOP)
    broker.start(wait=False)

    def errors():
        try:
            with Connection(broker.port) as connection:
                answer = connection.call("Metadata", 9, {
                    "Topics": [{"Name": name} for name in ("t", "new")],
                    "AllowAutoTopicCreation": True})
        except ConnectionRefusedError:
            return None
        return [t["ErrorCode"] for t in answer["Topics"]]

    assert wait_until(errors, "it answers") == [LEADER_NOT_AVAILABLE, LEADER_NOT_AVAILABLE]
    assert "a topic that a client asked for" not in broker.log()
    controller.process.send(signal.SIGCONT)
    wait_until(lambda: errors() == [NONE, NONE], "one is known, the other was made")
    assert len(described(c, "new")[0].replicas) == 3
