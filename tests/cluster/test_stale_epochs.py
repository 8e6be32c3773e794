"""What is sent from a past that is over: every kind of epoch, to live brokers, in Kafka's messages.

Each is answered with its own error, and nothing has changed: not the znodes, not what the brokers
know, not their directories; records come and go as before.
"""
import base64
import json

import pytest
from kazoo.client import KazooClient

from cluster_load import Load, check_all, end, isr_is, make_topic_on
from conftest import Cluster, wait_until
from wire import Connection

NONE, UNKNOWN_TOPIC, NOT_LEADER, BROKER_NOT_AVAILABLE, STALE_CONTROLLER_EPOCH = 0, 3, 6, 8, 11
NOT_CONTROLLER, INVALID_REQUEST, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH = 41, 42, 74, 75
STALE_BROKER_EPOCH, INVALID_UPDATE_VERSION, UNKNOWN_TOPIC_ID = 77, 95, 100
BROKER_ID_NOT_REGISTERED, INCONSISTENT_TOPIC_ID, INELIGIBLE_REPLICA = 102, 103, 107
ANOTHER_ID = bytes(range(16))


class World:
    """Three brokers whose epochs have all risen, and a topic that one leads which is not the
    controller."""

    def __init__(self, cluster, zk):
        self.cluster, self.zk = cluster, zk
        first = self.controller()
        self.leader = next(b for b in cluster.brokers if b is not first)
        self.others = [b for b in cluster.brokers if b is not self.leader]
        make_topic_on(cluster, "t", [[self.leader.id, *(b.id for b in self.others)]])
        for broker in first, next(b for b in self.others if b is not first):
            broker.restart()
            wait_until(lambda: isr_is(cluster, "t", {1, 2, 3}), "all are in sync again")
        self.load = Load(cluster, "t", pause_s=0.001)
        self.load.wait_acked(200)

    def json(self, path):
        data, stat = self.zk.get(path)
        return json.loads(data), stat

    def controller(self):
        i = wait_until(lambda: self.zk.exists("/controller") and
                       self.json("/controller")[0]["brokerid"], "there is a controller")
        return next(b for b in self.cluster.brokers if b.id == i)

    def controller_epoch(self):
        return int(self.zk.get("/controller_epoch")[0])

    def broker_epoch(self, broker):
        return self.zk.get(f"/brokers/ids/{broker.id}")[1].czxid

    def topic_id(self):
        return base64.urlsafe_b64decode(self.json("/brokers/topics/t")[0]["topic_id"] + "==")

    def state(self):
        state, stat = self.json("/brokers/topics/t/partitions/0/state")
        return {**state, "partition_epoch": stat.version}

    def partition(self, **more):
        """The state as the controller would send it, but for what is said."""
        now = self.state()
        return {"PartitionIndex": 0, "ControllerEpoch": now["controller_epoch"],
                "Leader": now["leader"], "LeaderEpoch": now["leader_epoch"], "Isr": now["isr"],
                "Replicas": [1, 2, 3], **more}

    def order(self, broker, **more):
        """The head of a request of the controller's."""
        return {"ControllerId": self.controller().id, "ControllerEpoch": self.controller_epoch(),
                "BrokerEpoch": self.broker_epoch(broker), **more}

    def everything(self):
        """What must stay: what znodes, brokers and directories say."""
        metadata = {}
        for broker in self.cluster.brokers:
            with Connection(broker.port) as c:
                answer = c.call("Metadata", 12, {"Topics": [{"Name": "t"}],
                                                 "AllowAutoTopicCreation": False})
            metadata[broker.id] = (answer["Topics"], answer["ControllerId"],
                                   sorted(b["NodeId"] for b in answer["Brokers"]),
                                   (broker.data / "t-0").is_dir(),
                                   sorted(p.name for p in broker.data.glob("*-delete")))
        return self.state(), self.controller_epoch(), metadata


@pytest.fixture(scope="module")
def world(tmp_path_factory, zookeeper):
    path = tmp_path_factory.mktemp("epochs")
    c = Cluster(path, 3, zookeeper=zookeeper, chroot=f"/{path.name}", config={
        "min.insync.replicas": 2, "auto.leader.rebalance.enable": "false",
        "zookeeper.session.timeout.ms": 6000}).start()
    zk = KazooClient(hosts=f"{zookeeper.connect}/{path.name}")
    zk.start(timeout=30)
    w = World(c, zk)
    yield w
    zk.stop()
    zk.close()
    try:
        check_all(c, "t", w.load)
        assert [b.errors() for b in c.brokers] == [[], [], []]
    finally:
        end(c)


@pytest.fixture(autouse=True)
def nothing_changes(world):
    before = world.everything()
    epoch = before[0]
    assert epoch["leader_epoch"] >= 1 and epoch["partition_epoch"] >= 1 and before[1] >= 2
    yield
    assert world.everything() == before
    world.load.wait_acked(200)


def ask(broker, name, version, values):
    with Connection(broker.port) as c:
        return c.call(name, version, values)


def leader_and_isr(world, broker, topic_id=None, head=None, **partition):
    """(error of the whole, error of the partition)."""
    answer = ask(broker, "LeaderAndIsr", 7, {**world.order(broker, **(head or {})), "TopicStates": [
        {"TopicName": "t", "TopicId": topic_id or world.topic_id(), "PartitionStates": [
            world.partition(PartitionEpoch=world.state()["partition_epoch"], **partition)
            if "PartitionEpoch" not in partition else world.partition(**partition)]}]})
    return answer["ErrorCode"], answer["Topics"][0]["PartitionErrors"][0]["ErrorCode"]


def test_stale_leader_and_isr(world):
    leader, follower = world.leader, world.others[0]
    now = world.state()
    for broker in leader, follower:
        stale = {"BrokerEpoch": world.broker_epoch(broker) - 1}
        assert leader_and_isr(world, broker, head=stale, LeaderEpoch=99) == (
            STALE_BROKER_EPOCH, STALE_BROKER_EPOCH)
        stale = {"ControllerEpoch": world.controller_epoch() - 1}
        assert leader_and_isr(world, broker, head=stale, LeaderEpoch=99) == (
            STALE_CONTROLLER_EPOCH, STALE_CONTROLLER_EPOCH)
        for epoch in now["leader_epoch"] - 1, now["leader_epoch"]:
            assert leader_and_isr(world, broker, LeaderEpoch=epoch, Leader=follower.id) == (
                NONE, STALE_CONTROLLER_EPOCH)
        assert leader_and_isr(world, broker, ANOTHER_ID, LeaderEpoch=99) == (
            NONE, INCONSISTENT_TOPIC_ID)
        assert leader_and_isr(world, broker, LeaderEpoch=99, Replicas=[
            i for i in (1, 2, 3) if i != broker.id]) == (NONE, UNKNOWN_TOPIC)
        # A state of the znode from before the one that it knows: passed over.
        assert leader_and_isr(world, broker, LeaderEpoch=99, Leader=follower.id,
                              PartitionEpoch=0) == (NONE, NONE)
        assert epoch_end(world, broker, 99) == UNKNOWN_LEADER_EPOCH


def test_stale_stop_replica(world):
    for broker in world.leader, world.others[0]:
        def stop(head, leader_epoch):
            return ask(broker, "StopReplica", 4, {**world.order(broker, **head), "TopicStates": [
                {"TopicName": "t", "PartitionStates": [
                    {"PartitionIndex": 0, "LeaderEpoch": leader_epoch, "DeletePartition": True}]}]})
        refused = stop({"BrokerEpoch": world.broker_epoch(broker) - 1}, -2)
        assert (refused["ErrorCode"], refused["PartitionErrors"]) == (STALE_BROKER_EPOCH, [])
        refused = stop({"ControllerEpoch": world.controller_epoch() - 1}, -2)
        assert (refused["ErrorCode"], refused["PartitionErrors"]) == (STALE_CONTROLLER_EPOCH, [])
        refused = stop({}, world.state()["leader_epoch"] - 1)
        assert [p["ErrorCode"] for p in refused["PartitionErrors"]] == [FENCED_LEADER_EPOCH]


def test_stale_update_metadata(world):
    for broker in world.cluster.brokers:
        for stale, error in (({"BrokerEpoch": world.broker_epoch(broker) - 1}, STALE_BROKER_EPOCH),
                             ({"ControllerEpoch": world.controller_epoch() - 1},
                              STALE_CONTROLLER_EPOCH)):
            answer = ask(broker, "UpdateMetadata", 8, {
                **world.order(broker, **stale), "LiveBrokers": [], "TopicStates": [
                    {"TopicName": "t", "TopicId": world.topic_id(), "PartitionStates": [
                        world.partition(Leader=-2, LeaderEpoch=99, ZkVersion=99)]}]})
            assert answer["ErrorCode"] == error


def alter_partition(world, asked, topic_id=None, leader=None, broker_epoch=None, members=None,
                    **partition):
    """(error of the whole, error of the partition or None)."""
    leader, now = leader or world.leader, world.state()
    members = members or {leader.id: world.broker_epoch(leader)}
    answer = ask(asked, "AlterPartition", 3, {
        "BrokerId": leader.id, "BrokerEpoch": broker_epoch or world.broker_epoch(leader),
        "Topics": [{"TopicId": topic_id or world.topic_id(), "Partitions": [{
            "PartitionIndex": 0, "LeaderEpoch": now["leader_epoch"],
            "PartitionEpoch": now["partition_epoch"], "NewIsrWithEpochs": [
                {"BrokerId": i, "BrokerEpoch": epoch} for i, epoch in members.items()],
            **partition}]}]})
    return answer["ErrorCode"], (answer["Topics"][0]["Partitions"][0]["ErrorCode"]
                                 if answer["Topics"] else None)


def test_stale_alter_partition(world):
    controller, now = world.controller(), world.state()
    leader, follower = world.leader, world.others[0]
    epochs = {b.id: world.broker_epoch(b) for b in world.cluster.brokers}
    for broker in world.cluster.brokers:
        if broker is not controller:
            assert alter_partition(world, broker) == (NOT_CONTROLLER, None)
    for epoch in epochs[leader.id] - 1, epochs[leader.id] + 1:
        assert alter_partition(world, controller, broker_epoch=epoch) == (STALE_BROKER_EPOCH, None)
    for wrong, error in (
            ({"LeaderEpoch": now["leader_epoch"] - 1}, FENCED_LEADER_EPOCH),
            ({"LeaderEpoch": now["leader_epoch"] + 1}, NOT_CONTROLLER),
            ({"PartitionEpoch": now["partition_epoch"] - 1}, INVALID_UPDATE_VERSION),
            ({"PartitionEpoch": now["partition_epoch"] + 1}, NOT_CONTROLLER),
            ({"topic_id": ANOTHER_ID}, UNKNOWN_TOPIC_ID),
            ({"PartitionIndex": 7}, UNKNOWN_TOPIC),
            ({"leader": follower}, INVALID_REQUEST),
            ({"members": {leader.id: epochs[leader.id], follower.id: epochs[follower.id] - 1}},
             INELIGIBLE_REPLICA),
            ({"members": {leader.id: epochs[leader.id], 99: -1}}, INELIGIBLE_REPLICA),
            ({"LeaderRecoveryState": 1}, INVALID_REQUEST)):
        assert alter_partition(world, controller, **wrong) == (NONE, error), wrong


def test_stale_controlled_shutdown_and_producer_ids(world):
    controller = world.controller()
    for name, version, unknown, elsewhere in (
            ("ControlledShutdown", 3, BROKER_NOT_AVAILABLE, STALE_CONTROLLER_EPOCH),
            ("AllocateProducerIds", 0, BROKER_ID_NOT_REGISTERED, NOT_CONTROLLER)):
        for broker in world.cluster.brokers:
            epoch = world.broker_epoch(broker)
            if broker is not controller:
                who = {"BrokerId": world.leader.id, "BrokerEpoch": epoch}
                assert ask(broker, name, version, who)["ErrorCode"] == elsewhere
            who = {"BrokerId": broker.id, "BrokerEpoch": epoch - 1}
            assert ask(controller, name, version, who)["ErrorCode"] == STALE_BROKER_EPOCH
        who = {"BrokerId": 99, "BrokerEpoch": 1}
        assert ask(controller, name, version, who)["ErrorCode"] == unknown


def fetch(world, broker, current_epoch, replica=-1, topic_id=None):
    answer = ask(broker, "Fetch", 16, {
        "ReplicaState": {"ReplicaId": replica, "ReplicaEpoch": 1}, "MaxWaitMs": 10, "MinBytes": 0,
        "Topics": [{"TopicId": topic_id or world.topic_id(), "Partitions": [
            {"Partition": 0, "CurrentLeaderEpoch": current_epoch, "FetchOffset": 0,
             "PartitionMaxBytes": 1000}]}]})
    assert answer["ErrorCode"] == NONE
    return answer["Responses"][0]["Partitions"][0]["ErrorCode"]


def list_offsets(world, broker, current_epoch):
    answer = ask(broker, "ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": "t", "Partitions": [{"PartitionIndex": 0, "CurrentLeaderEpoch": current_epoch,
                                      "Timestamp": -1}]}]})
    return answer["Topics"][0]["Partitions"][0]["ErrorCode"]


def epoch_end(world, broker, current_epoch):
    answer = ask(broker, "OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [
        {"Topic": "t", "Partitions": [{"Partition": 0, "CurrentLeaderEpoch": current_epoch,
                                       "LeaderEpoch": 0}]}]})
    return answer["Topics"][0]["Partitions"][0]["ErrorCode"]


def test_stale_readers(world):
    leader, follower = world.leader, world.others[0]
    epoch = world.state()["leader_epoch"]
    for read in fetch, list_offsets, epoch_end:
        for broker in leader, follower:
            assert read(world, broker, epoch - 1) == FENCED_LEADER_EPOCH
            assert read(world, broker, epoch + 1) == UNKNOWN_LEADER_EPOCH
        assert read(world, leader, epoch) == NONE
    for read in list_offsets, epoch_end:
        assert read(world, follower, epoch) == NOT_LEADER
    assert fetch(world, leader, epoch, topic_id=ANOTHER_ID) == UNKNOWN_TOPIC_ID
    assert fetch(world, leader, epoch, replica=99) == UNKNOWN_LEADER_EPOCH  # no replica of it
    assert fetch(world, follower, epoch, replica=leader.id) == NOT_LEADER
