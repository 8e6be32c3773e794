"""Every version of every API that the broker advertises: asked, answered, decoded to the last byte.

Each API has a function here that sends one version's request and says what the answer must hold. An
API that is advertised and has none fails the first test: who adds an API adds its exchange.
"""
import signal

import pytest

import wire
from conftest import Broker, wait_until
from test_records import create, produce as send
from wire import Connection

NONE, UNKNOWN_TOPIC, INVALID_REQUEST, STALE_CONTROLLER_EPOCH = 0, 3, 42, 11
BROKER_NOT_AVAILABLE, COORDINATOR_NOT_AVAILABLE, STALE_BROKER_EPOCH, MISMATCHED_ENDPOINT_TYPE = 8, 15, 77, 114
TOPIC, BROKER_RESOURCE = 2, 4
KEY, VALUE = b"key", b"the very value"
ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID = 22, 23, 24, 25
INVALID_SESSION_TIMEOUT, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND = 26, 68, 69
MEMBER_ID_REQUIRED, SUBSCRIBED_TO_TOPIC = 79, 86
ELECTION_NOT_NEEDED, UNKNOWN_SERVER_ERROR = 84, -1
INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS = 39, 85
FIRST_CONTROLLER_EPOCH = 1

EXCHANGES = {}


def exchange(function):
    """Registers the exchange of the API that the function is named after."""
    EXCHANGES["".join(word.capitalize() for word in function.__name__.split("_"))] = function
    return function


class World:
    """One broker with a topic of one record, and new names for what a version makes."""

    def __init__(self, broker):
        self.broker = broker
        create(broker.bootstrap, "t")
        send(broker.bootstrap, "t", [(KEY, VALUE, None)])
        self.topic_id = self.described("t")["TopicId"]
        self.made = 0

    def connect(self):
        return Connection(self.broker.port)

    def described(self, topic):
        with self.connect() as c:
            answer = c.call("Metadata", 12, {"Topics": [{"Name": topic}],
                                             "AllowAutoTopicCreation": False})
        return answer["Topics"][0]

    def has(self, topic, partitions=1):
        return len(self.described(topic)["Partitions"]) == partitions

    def new_name(self):
        self.made += 1
        return f"made-{self.made}"

    def new_topic(self):
        name = self.new_name()
        create(self.broker.bootstrap, name)
        wait_until(lambda: self.has(name), f"{name} is there")
        return name

    def wait_for_coordinator(self, group):
        """The partition of the group is there and loaded."""
        def found():
            with self.connect() as c:
                answer = c.call("FindCoordinator", 2, {"Key": group, "KeyType": 0})
                return answer["ErrorCode"] == NONE and c.call(
                    "DescribeGroups", 0, {"Groups": [group]})["Groups"][0]["ErrorCode"] == NONE
        wait_until(found, "the group has a coordinator")

    def setting(self, topic, name):
        with self.connect() as c:
            answer = c.call("DescribeConfigs", 4, {"Resources": [
                {"ResourceType": TOPIC, "ResourceName": topic, "ConfigurationKeys": [name]}]})
        return answer["Results"][0]["Configs"][0]["Value"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("versions") / "broker", config={
        "group.initial.rebalance.delay.ms": 0, "offsets.topic.num.partitions": 3}).start()
    yield World(broker)
    if broker.process.running():
        broker.process.stop(signal.SIGKILL)


# ---- records -----------------------------------------------------------------------------------


def magic_of_produce(version):
    return 2 if version >= 3 else 1 if version == 2 else 0


@exchange
def produce(world, ask, version):
    topic = world.new_topic()
    records = wire.record_batch(magic_of_produce(version), KEY, VALUE)
    answer = ask({"Acks": -1, "TimeoutMs": 10000, "TopicData": [
        {"Name": topic, "PartitionData": [{"Index": 0, "Records": records}]},
        {"Name": "absent", "PartitionData": [{"Index": 5, "Records": records}]}]})
    there, absent = answer["Responses"]
    assert (there["Name"], absent["Name"]) == (topic, "absent")
    done, = there["PartitionResponses"]
    assert (done["Index"], done["ErrorCode"], done["BaseOffset"]) == (0, NONE, 0)
    if version >= 5:
        assert done["LogStartOffset"] == 0
    refused, = absent["PartitionResponses"]
    assert (refused["Index"], refused["ErrorCode"], refused["BaseOffset"]) == (5, UNKNOWN_TOPIC, -1)


@exchange
def fetch(world, ask, version):
    answer = ask({"ReplicaId": -1, "MaxWaitMs": 500, "MinBytes": 1, "Topics": [
        {"Topic": "t", "TopicId": world.topic_id, "Partitions": [
            {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20},
            {"Partition": 9, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}]}]})
    topic, = answer["Responses"]
    assert topic["TopicId"] == world.topic_id if version >= 13 else topic["Topic"] == "t"
    got, absent = sorted(topic["Partitions"], key=lambda p: p["PartitionIndex"])
    assert (got["PartitionIndex"], got["ErrorCode"], got["HighWatermark"]) == (0, NONE, 1)
    assert wire.batch_magic(got["Records"]) == (2 if version >= 4 else 1 if version >= 2 else 0)
    assert KEY in got["Records"] and VALUE in got["Records"]
    assert (absent["PartitionIndex"], absent["ErrorCode"]) == (9, UNKNOWN_TOPIC)


@exchange
def list_offsets(world, ask, version):
    earliest, latest = -2, -1
    for timestamp, offset in (earliest, 0), (latest, 1):
        answer = ask({"ReplicaId": -1, "Topics": [{"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "Timestamp": timestamp, "MaxNumOffsets": 1}]}]})
        topic, = answer["Topics"]
        found, = topic["Partitions"]
        assert (topic["Name"], found["PartitionIndex"], found["ErrorCode"]) == ("t", 0, NONE)
        assert offset == (found["OldStyleOffsets"][0] if version == 0 else found["Offset"])


@exchange
def delete_records(world, ask, version):
    topic = world.new_topic()
    send(world.broker.bootstrap, topic, [(KEY, VALUE, None)] * 3)
    answer = ask({"TimeoutMs": 10000, "Topics": [{"Name": topic, "Partitions": [
        {"PartitionIndex": 0, "Offset": 2}, {"PartitionIndex": 9, "Offset": 2}]}]})
    done, absent = answer["Topics"][0]["Partitions"]
    assert (done["LowWatermark"], done["ErrorCode"]) == (2, NONE)
    assert (absent["LowWatermark"], absent["ErrorCode"]) == (-1, UNKNOWN_TOPIC)


@exchange
def offset_for_leader_epoch(world, ask, version):
    answer = ask({"Topics": [{"Topic": "t", "Partitions": [
        {"Partition": 0, "LeaderEpoch": 0}, {"Partition": 9, "LeaderEpoch": 0}]}]})
    found, absent = answer["Topics"][0]["Partitions"]
    assert (found["Partition"], found["ErrorCode"], found["EndOffset"]) == (0, NONE, 1)
    if version >= 1:
        assert found["LeaderEpoch"] == 0
    assert (absent["Partition"], absent["ErrorCode"], absent["EndOffset"]) == (9, UNKNOWN_TOPIC, -1)


@exchange
def describe_producers(world, ask, version):
    answer = ask({"Topics": [{"Name": "t", "PartitionIndexes": [0, 9]}]})
    found, absent = answer["Topics"][0]["Partitions"]
    assert found["ErrorCode"] == NONE
    producer, = found["ActiveProducers"]
    assert (producer["ProducerEpoch"], producer["LastSequence"]) == (0, 0)
    assert producer["CurrentTxnStartOffset"] == -1
    assert (absent["PartitionIndex"], absent["ErrorCode"]) == (9, UNKNOWN_TOPIC)


@exchange
def describe_log_dirs(world, ask, version):
    named = ask({"Topics": [{"Topic": "t", "Partitions": [0, 9, 0]},
                            {"Topic": "absent", "Partitions": [0]}]})
    directory, = named["Results"]
    assert named.get("ErrorCode", NONE) == NONE == directory["ErrorCode"]
    assert directory["LogDir"] == str(world.broker.data)
    topic, = directory["Topics"]
    found, = topic["Partitions"]
    size = (world.broker.data / "t-0" / f"{0:020}.log").stat().st_size
    assert topic["Name"] == "t"
    assert found == {"PartitionIndex": 0, "PartitionSize": size, "OffsetLag": 0,
                     "IsFutureKey": False}
    if version >= 4:
        assert directory["TotalBytes"] >= directory["UsableBytes"] > 0
    everything, = ask({"Topics": None})["Results"]
    assert topic in everything["Topics"]
    nothing, = ask({"Topics": []})["Results"]
    assert nothing["Topics"] == []


@exchange
def init_producer_id(world, ask, version):
    request = {"TransactionalId": None, "TransactionTimeoutMs": 60000}
    first, second = ask(request), ask(request)
    assert (first["ErrorCode"], first["ProducerEpoch"]) == (NONE, 0)
    assert second["ProducerId"] == first["ProducerId"] + 1 > 0
    refused = ask(dict(request, TransactionalId=""))
    assert (refused["ErrorCode"], refused["ProducerId"]) == (INVALID_REQUEST, -1)


# ---- the cluster -------------------------------------------------------------------------------


@exchange
def api_versions(world, ask, version):
    answer = ask({"ClientSoftwareName": "test", "ClientSoftwareVersion": "1.0"})
    assert answer["ErrorCode"] == NONE
    ranges = {a["ApiKey"]: (a["MinVersion"], a["MaxVersion"]) for a in answer["ApiKeys"]}
    assert ranges == wire.advertised(world.broker.port)


@exchange
def metadata(world, ask, version):
    answer = ask({"Topics": [{"Name": "t"}, {"Name": "absent"}], "AllowAutoTopicCreation": False,
                  "IncludeTopicAuthorizedOperations": True}) if version >= 4 else ask(
                      {"Topics": [{"Name": "t"}]})
    broker, = answer["Brokers"]
    assert (broker["NodeId"], broker["Host"], broker["Port"]) == (0, "127.0.0.1", world.broker.port)
    if version >= 1:
        assert answer["ControllerId"] == 0
    if version >= 2:
        assert len(answer["ClusterId"]) == 22
    topic = answer["Topics"][0]
    assert (topic["ErrorCode"], topic["Name"]) == (NONE, "t")
    if version >= 8:
        assert topic["TopicAuthorizedOperations"] & 1 << 3  # READ
    if version >= 10:
        assert topic["TopicId"] == world.topic_id
    partition, = topic["Partitions"]
    assert (partition["ErrorCode"], partition["LeaderId"]) == (NONE, 0)
    assert partition["ReplicaNodes"] == partition["IsrNodes"] == [0]
    if version >= 4:
        absent = answer["Topics"][1]
        assert (absent["ErrorCode"], absent["Name"]) == (UNKNOWN_TOPIC, "absent")
        assert absent["Partitions"] == []


@exchange
def describe_cluster(world, ask, version):
    answer = ask({"EndpointType": 1})
    assert (answer["ErrorCode"], answer["ControllerId"]) == (NONE, 0)
    broker, = answer["Brokers"]
    assert (broker["BrokerId"], broker["Host"], broker["Port"]) == (0, "127.0.0.1",
                                                                    world.broker.port)
    if version >= 1:
        assert ask({"EndpointType": 2})["ErrorCode"] == MISMATCHED_ENDPOINT_TYPE


@exchange
def find_coordinator(world, ask, version):
    """What is asked for has a coordinator or none yet; a type that there is not is refused."""
    for key_type, errors in (0, {NONE, COORDINATOR_NOT_AVAILABLE}), (7, {INVALID_REQUEST}):
        if version == 0 and key_type != 0:
            continue
        answer = ask({"Key": "g", "KeyType": key_type, "CoordinatorKeys": ["g", "h"]})
        found = answer["Coordinators"] if version >= 4 else [answer]
        assert [c["Key"] for c in found] == ["g", "h"] if version >= 4 else len(found) == 1
        for coordinator in found:
            assert coordinator["ErrorCode"] in errors
            assert coordinator["NodeId"] == (0 if coordinator["ErrorCode"] == NONE else -1)


# ---- groups ------------------------------------------------------------------------------------


RANGE = [{"Name": "range", "Metadata": b"\0\0" + b"\0\0\0\1" + b"\0\1t" + b"\0\0\0\0"}]


class Member:
    """The one member of a group of its own, joined and synced."""

    def __init__(self, world):
        self.world = world
        self.group = world.new_name()
        self.join = {"GroupId": self.group, "SessionTimeoutMs": 10000,
                     "RebalanceTimeoutMs": 10000, "MemberId": "", "GroupInstanceId": None,
                     "ProtocolType": "consumer", "Protocols": RANGE}
        self.id, self.generation = "", -1

    def joined(self, answer):
        assert answer["ErrorCode"] == NONE
        self.id, self.generation = answer["MemberId"], answer["GenerationId"]
        return self

    def enter(self):
        self.world.wait_for_coordinator(self.group)
        with self.world.connect() as c:
            self.joined(c.call("JoinGroup", 3, self.join))
            assert c.call("SyncGroup", 2, self.sync())["ErrorCode"] == NONE
        return self

    def sync(self):
        return {"GroupId": self.group, "GenerationId": self.generation, "MemberId": self.id,
                "ProtocolType": "consumer", "ProtocolName": "range",
                "Assignments": [{"MemberId": self.id, "Assignment": b"mine"}]}

    def commit(self, offset=7, metadata="so far"):
        return {"GroupId": self.group, "GenerationIdOrMemberEpoch": self.generation,
                "MemberId": self.id, "Topics": [
                    {"Name": "t", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": offset,
                                                  "CommittedMetadata": metadata}]},
                    {"Name": "absent", "Partitions": [{"PartitionIndex": 0}]}]}


@exchange
def join_group(world, ask, version):
    m = Member(world)
    world.wait_for_coordinator(m.group)
    if version >= 4:
        told = ask(m.join)
        assert told["ErrorCode"] == MEMBER_ID_REQUIRED
        m.join["MemberId"] = told["MemberId"]
    answer = ask(m.join)
    m.joined(answer)
    assert answer["Leader"] == m.id and m.generation == 1
    assert (answer["ProtocolName"], answer["Members"][0]["Metadata"]) == ("range",
                                                                         RANGE[0]["Metadata"])
    if version >= 7:
        assert answer["ProtocolType"] == "consumer"
    assert ask({**m.join, "MemberId": "stranger"})["ErrorCode"] == UNKNOWN_MEMBER_ID
    assert ask({**m.join, "SessionTimeoutMs": 1})["ErrorCode"] == INVALID_SESSION_TIMEOUT
    assert ask({**m.join, "GroupId": ""})["ErrorCode"] == INVALID_GROUP_ID


@exchange
def sync_group(world, ask, version):
    m = Member(world)
    world.wait_for_coordinator(m.group)
    with world.connect() as c:
        m.joined(c.call("JoinGroup", 3, m.join))
    answer = ask(m.sync())
    assert (answer["ErrorCode"], answer["Assignment"]) == (NONE, b"mine")
    if version >= 5:
        assert answer["ProtocolName"] == "range"
        assert ask({**m.sync(), "ProtocolName": "other"})["ErrorCode"] == INCONSISTENT_PROTOCOL
    assert ask({**m.sync(), "GenerationId": 9})["ErrorCode"] == ILLEGAL_GENERATION


@exchange
def heartbeat(world, ask, version):
    m = Member(world).enter()
    alive = {"GroupId": m.group, "GenerationId": m.generation, "MemberId": m.id}
    assert ask(alive)["ErrorCode"] == NONE
    assert ask({**alive, "MemberId": "stranger"})["ErrorCode"] == UNKNOWN_MEMBER_ID
    assert ask({**alive, "GenerationId": 9})["ErrorCode"] == ILLEGAL_GENERATION
    if version >= 3:
        assert ask({**alive, "GroupInstanceId": "nobody"})["ErrorCode"] == UNKNOWN_MEMBER_ID


@exchange
def leave_group(world, ask, version):
    m = Member(world).enter()
    leave = {"GroupId": m.group, "MemberId": m.id,
             "Members": [{"MemberId": m.id}, {"MemberId": "stranger"}]}
    answer = ask(leave)
    assert answer["ErrorCode"] == NONE
    if version >= 3:
        assert [p["ErrorCode"] for p in answer["Members"]] == [NONE, UNKNOWN_MEMBER_ID]
    else:
        assert ask(leave)["ErrorCode"] == UNKNOWN_MEMBER_ID


@exchange
def offset_commit(world, ask, version):
    m = Member(world).enter()
    errors = {t["Name"]: t["Partitions"][0]["ErrorCode"] for t in ask(m.commit())["Topics"]}
    assert errors == {"t": NONE, "absent": UNKNOWN_TOPIC}
    with world.connect() as c:
        fetched = c.call("OffsetFetch", 0 if version == 0 else 5, {
            "GroupId": m.group, "Topics": [{"Name": "t", "PartitionIndexes": [0]}]})
    committed = fetched["Topics"][0]["Partitions"][0]
    assert committed["CommittedOffset"] == 7
    if version >= 1:
        assert committed["Metadata"] == "so far"
        m.generation = 9
        refused = {t["Name"]: t["Partitions"][0]["ErrorCode"] for t in ask(m.commit())["Topics"]}
        assert refused == {"t": ILLEGAL_GENERATION, "absent": UNKNOWN_TOPIC}


@exchange
def offset_fetch(world, ask, version):
    m = Member(world).enter()
    with world.connect() as c:
        c.call("OffsetCommit", 0 if version == 0 else 7, m.commit())
    topics = [{"Name": "t", "PartitionIndexes": [0, 5]}]
    answer = ask({"GroupId": m.group, "Topics": topics,
                  "Groups": [{"GroupId": m.group, "Topics": topics},
                             {"GroupId": m.group, "Topics": None}]})
    named, *everything = answer["Groups"] if version >= 8 else [answer]
    got = [(p["PartitionIndex"], p["CommittedOffset"], p["ErrorCode"])
           for p in named["Topics"][0]["Partitions"]]
    assert got == [(0, 7, NONE), (5, -1, UNKNOWN_TOPIC if version == 0 else NONE)]
    if 2 <= version <= 7:
        everything = [ask({"GroupId": m.group, "Topics": None, "Groups": []})]
    for found in everything:
        assert [(t["Name"], [p["CommittedOffset"] for p in t["Partitions"]])
                for t in found["Topics"]] == [("t", [7])]


@exchange
def offset_delete(world, ask, version):
    m = Member(world).enter()
    gone = {"GroupId": m.group, "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0}]}]}
    with world.connect() as c:
        c.call("OffsetCommit", 7, m.commit())
        reading = ask(gone)
        assert reading["Topics"][0]["Partitions"][0]["ErrorCode"] == SUBSCRIBED_TO_TOPIC
        c.call("LeaveGroup", 2, {"GroupId": m.group, "MemberId": m.id})
        answer = ask(gone)
        assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE
        left = c.call("OffsetFetch", 5, {"GroupId": m.group, "Topics": None})
        assert left["Topics"] == []
    assert ask({**gone, "GroupId": "absent"})["ErrorCode"] == GROUP_ID_NOT_FOUND


@exchange
def describe_groups(world, ask, version):
    m = Member(world).enter()
    there, absent = ask({"Groups": [m.group, "absent"],
                         "IncludeAuthorizedOperations": version >= 3})["Groups"]
    assert (there["GroupState"], there["ProtocolType"], there["ProtocolData"]) == (
        "Stable", "consumer", "range")
    member, = there["Members"]
    assert (member["MemberId"], member["ClientHost"]) == (m.id, "/127.0.0.1")
    assert (member["MemberMetadata"], member["MemberAssignment"]) == (RANGE[0]["Metadata"], b"mine")
    assert (absent["ErrorCode"], absent["GroupState"], absent["Members"]) == (NONE, "Dead", [])


@exchange
def list_groups(world, ask, version):
    m = Member(world).enter()

    def states(**filters):
        answer = ask({"StatesFilter": [], "TypesFilter": [], **filters})
        assert answer["ErrorCode"] == NONE
        return {g["GroupId"]: g.get("GroupState") for g in answer["Groups"]}

    assert m.group in states()
    if version >= 4:
        assert states(StatesFilter=["stable"])[m.group] == "Stable"
        assert m.group not in states(StatesFilter=["Empty"])
    if version >= 5:
        assert m.group in states(TypesFilter=["classic"])
        assert states(TypesFilter=["consumer"]) == {}


@exchange
def delete_groups(world, ask, version):
    m = Member(world).enter()

    def delete():
        answer = ask({"GroupsNames": [m.group, "absent"]})
        return [r["ErrorCode"] for r in answer["Results"]]

    assert delete() == [NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND]
    with world.connect() as c:
        c.call("LeaveGroup", 2, {"GroupId": m.group, "MemberId": m.id})
    assert delete() == [NONE, GROUP_ID_NOT_FOUND]
    assert delete() == [GROUP_ID_NOT_FOUND, GROUP_ID_NOT_FOUND]


# ---- topics ------------------------------------------------------------------------------------


@exchange
def create_topics(world, ask, version):
    name = world.new_name()
    answer = ask({"timeoutMs": 10000, "Topics": [
        {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1,
         "Configs": [{"Name": "retention.ms", "Value": "12345"}]},
        {"Name": "t", "NumPartitions": 1, "ReplicationFactor": 1}]})
    errors = {t["Name"]: t["ErrorCode"] for t in answer["Topics"]}
    assert errors == {name: NONE, "t": 36}  # TOPIC_ALREADY_EXISTS
    made = next(t for t in answer["Topics"] if t["Name"] == name)
    assert world.has(name, 2) and world.setting(name, "retention.ms") == "12345"
    if version >= 5:
        assert (made["NumPartitions"], made["ReplicationFactor"]) == (2, 1)
        assert {c["Name"]: c["Value"] for c in made["Configs"]}["retention.ms"] == "12345"
    if version >= 7:
        assert made["TopicId"] == world.described(name)["TopicId"]


@exchange
def delete_topics(world, ask, version):
    name = world.new_topic()
    answer = ask({"TimeoutMs": 10000, "Topics": [{"Name": name}, {"Name": "absent"}],
                  "TopicNames": [name, "absent"]})
    assert {t["Name"]: t["ErrorCode"] for t in answer["Responses"]} == {name: NONE,
                                                                        "absent": UNKNOWN_TOPIC}
    assert world.described(name)["ErrorCode"] == UNKNOWN_TOPIC


@exchange
def create_partitions(world, ask, version):
    name = world.new_topic()
    answer = ask({"TimeoutMs": 10000, "Topics": [{"Name": name, "Count": 3, "Assignments": None},
                                                 {"Name": "t", "Count": 1, "Assignments": None}]})
    assert {t["Name"]: t["ErrorCode"] for t in answer["Results"]} == {name: NONE, "t": 37}
    assert world.has(name, 3)


# ---- settings ----------------------------------------------------------------------------------


@exchange
def describe_configs(world, ask, version):
    answer = ask({"IncludeSynonyms": True, "IncludeDocumentation": True, "Resources": [
        {"ResourceType": TOPIC, "ResourceName": "t", "ConfigurationKeys": ["retention.ms"]},
        {"ResourceType": BROKER_RESOURCE, "ResourceName": "0", "ConfigurationKeys": None},
        {"ResourceType": TOPIC, "ResourceName": "absent", "ConfigurationKeys": None}]})
    topic, broker, absent = answer["Results"]
    assert (topic["ErrorCode"], broker["ErrorCode"], absent["ErrorCode"]) == (NONE, NONE,
                                                                              UNKNOWN_TOPIC)
    retention, = topic["Configs"]
    assert (retention["Name"], retention["Value"]) == ("retention.ms", "604800000")
    assert not retention["ReadOnly"] and not retention["IsSensitive"]
    if version == 0:
        assert retention["IsDefault"]
    if version >= 1:
        assert retention["ConfigSource"] == 5  # DEFAULT_CONFIG
        assert retention["Synonyms"][0]["Name"] == "log.retention.hours"
    if version >= 3:
        assert retention["ConfigType"] == 5 and retention["Documentation"]  # LONG
    assert {c["Name"]: c["Value"] for c in broker["Configs"]}["broker.id"] == "0"


@exchange
def alter_configs(world, ask, version):
    name = world.new_topic()
    answer = ask({"Resources": [
        {"ResourceType": TOPIC, "ResourceName": name,
         "Configs": [{"Name": "retention.ms", "Value": "54321"}]},
        {"ResourceType": TOPIC, "ResourceName": "absent", "Configs": []}]})
    assert [r["ErrorCode"] for r in answer["Responses"]] == [NONE, UNKNOWN_TOPIC]
    assert [r["ResourceName"] for r in answer["Responses"]] == [name, "absent"]
    wait_until(lambda: world.setting(name, "retention.ms") == "54321", "the setting holds")


@exchange
def incremental_alter_configs(world, ask, version):
    name = world.new_topic()

    def alter(operation, value):
        answer = ask({"Resources": [{"ResourceType": TOPIC, "ResourceName": name, "Configs": [
            {"Name": "retention.ms", "ConfigOperation": operation, "Value": value}]}]})
        return answer["Responses"][0]["ErrorCode"]

    assert alter(0, "99999") == NONE
    wait_until(lambda: world.setting(name, "retention.ms") == "99999", "the setting holds")
    assert alter(1, None) == NONE
    wait_until(lambda: world.setting(name, "retention.ms") == "604800000", "the default is back")
    assert alter(7, "1") == INVALID_REQUEST


# ---- what the controller asks ------------------------------------------------------------------


def new_partition(topic):
    return {"TopicName": topic, "PartitionIndex": 0, "ControllerEpoch": FIRST_CONTROLLER_EPOCH,
            "Leader": 0, "LeaderEpoch": 0, "Isr": [0], "Replicas": [0]}


def from_controller(epoch=FIRST_CONTROLLER_EPOCH):
    return {"ControllerId": 0, "ControllerEpoch": epoch}


def make_replica(world, topic, topic_id):
    """Tells the broker, as its controller would, to lead a topic that nobody else knows."""
    with world.connect() as c:
        answer = c.call("LeaderAndIsr", 7, leader_and_isr_request(world, topic, topic_id))
    assert answer["ErrorCode"] == NONE


def leader_and_isr_request(world, topic, topic_id):
    state = dict(new_partition(topic), IsNew=True)
    return dict(from_controller(), UngroupedPartitionStates=[state], TopicStates=[
        {"TopicName": topic, "TopicId": topic_id, "PartitionStates": [state]}], LiveLeaders=[
            {"BrokerId": 0, "HostName": "127.0.0.1", "Port": world.broker.port}])


@exchange
def leader_and_isr(world, ask, version):
    topic = f"led-{version}"
    topic_id = bytes(15) + bytes([100 + version])
    answer = ask(leader_and_isr_request(world, topic, topic_id))
    assert answer["ErrorCode"] == NONE
    errors = answer["PartitionErrors"] if version < 5 else answer["Topics"][0]["PartitionErrors"]
    assert [(e["PartitionIndex"], e["ErrorCode"]) for e in errors] == [(0, NONE)]
    if version < 5:
        assert errors[0]["TopicName"] == topic
    else:
        assert answer["Topics"][0]["TopicId"] == topic_id
    assert (world.broker.data / f"{topic}-0").is_dir()
    assert ask(from_controller(epoch=0))["ErrorCode"] == STALE_CONTROLLER_EPOCH


@exchange
def stop_replica(world, ask, version):
    topic = f"stopped-{version}"
    make_replica(world, topic, bytes(15) + bytes([200 + version]))
    answer = ask(dict(
        from_controller(), DeletePartitions=True,
        UngroupedPartitions=[{"TopicName": topic, "PartitionIndex": 0}],
        Topics=[{"Name": topic, "PartitionIndexes": [0]}],
        TopicStates=[{"TopicName": topic, "PartitionStates": [
            {"PartitionIndex": 0, "LeaderEpoch": -2, "DeletePartition": True}]}]))
    assert answer["ErrorCode"] == NONE
    stopped, = answer["PartitionErrors"]
    assert (stopped["TopicName"], stopped["PartitionIndex"], stopped["ErrorCode"]) == (topic, 0,
                                                                                       NONE)
    assert not (world.broker.data / f"{topic}-0").exists()
    assert ask(from_controller(epoch=0))["ErrorCode"] == STALE_CONTROLLER_EPOCH


@exchange
def update_metadata(world, ask, version):
    topic = f"told-{version}"
    port = world.broker.port
    answer = ask(dict(
        from_controller(), UngroupedPartitionStates=[new_partition(topic)],
        TopicStates=[{"TopicName": topic, "TopicId": bytes(15) + bytes([50 + version]),
                      "PartitionStates": [new_partition(topic)]}],
        LiveBrokers=[{"Id": 0, "V0Host": "127.0.0.1", "V0Port": port, "Rack": None, "Endpoints": [
            {"Port": port, "Host": "127.0.0.1", "Listener": "PLAINTEXT", "SecurityProtocol": 0}]}]))
    assert answer["ErrorCode"] == NONE
    assert world.described(topic)["Partitions"][0]["LeaderId"] == 0
    assert ask(from_controller(epoch=0))["ErrorCode"] == STALE_CONTROLLER_EPOCH


@exchange
def allocate_producer_ids(world, ask, version):
    assert ask({"BrokerId": 0, "BrokerEpoch": 987654321})["ErrorCode"] == STALE_BROKER_EPOCH
    assert ask({"BrokerId": 77, "BrokerEpoch": -1})["ErrorCode"] == 102  # not registered


@exchange
def alter_partition(world, ask, version):
    """One who is not the broker that he says is refused as a whole."""
    answer = ask({"BrokerId": 0, "BrokerEpoch": 12345, "Topics": [
        {"TopicName": "t", "TopicId": world.topic_id, "Partitions": [
            {"PartitionIndex": 0, "LeaderEpoch": 0, "NewIsr": [0],
             "NewIsrWithEpochs": [{"BrokerId": 0, "BrokerEpoch": -1}]}]}]})
    assert (answer["ErrorCode"], answer["Topics"]) == (STALE_BROKER_EPOCH, [])


@exchange
def elect_leaders(world, ask, version):
    def results(answer):
        assert answer.get("ErrorCode", NONE) == NONE
        return {t["Topic"]: [(p["PartitionId"], p["ErrorCode"]) for p in t["PartitionResult"]]
                for t in answer["ReplicaElectionResults"]}

    for election_type in (0, 1) if version >= 1 else (0,):
        asked = ask({"ElectionType": election_type, "TimeoutMs": 10000, "TopicPartitions": [
            {"Topic": "t", "Partitions": [0, 9]}, {"Topic": "absent", "Partitions": [0]}]})
        assert results(asked) == {"t": [(0, ELECTION_NOT_NEEDED), (9, UNKNOWN_TOPIC)],
                                  "absent": [(0, UNKNOWN_TOPIC)]}
    assert ask({"TopicPartitions": []})["ReplicaElectionResults"] == []
    # Of all partitions those that need none are left out; other tests' makeshift topics are not
    # the controller's.
    everything = results(ask({"TopicPartitions": None, "TimeoutMs": 10000}))
    assert "t" not in everything
    assert {e for errors in everything.values() for _, e in errors} <= {UNKNOWN_TOPIC}
    if version >= 1:
        refused = ask({"ElectionType": 7, "TopicPartitions": [{"Topic": "t", "Partitions": [0]}]})
        assert refused["ErrorCode"] == UNKNOWN_SERVER_ERROR


@exchange
def alter_partition_reassignments(world, ask, version):
    topic = world.new_topic()
    answer = ask({"TimeoutMs": 10000, "Topics": [
        {"Name": topic, "Partitions": [
            {"PartitionIndex": 0, "Replicas": [0]}, {"PartitionIndex": 9, "Replicas": [0]}]},
        {"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "Replicas": None}, {"PartitionIndex": 0, "Replicas": []},
            {"PartitionIndex": 0, "Replicas": [0, 77]}]}]})
    assert answer["ErrorCode"] == NONE
    assert [(t["Name"], [p["ErrorCode"] for p in t["Partitions"]]) for t in answer["Responses"]] == [
        (topic, [NONE, UNKNOWN_TOPIC]),
        ("t", [NO_REASSIGNMENT_IN_PROGRESS, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICA_ASSIGNMENT])]


@exchange
def list_partition_reassignments(world, ask, version):
    """One broker moves nothing; test_controller.py has the answers of three."""
    for topics in None, [], [{"Name": "t", "PartitionIndexes": [0, 9]}]:
        answer = ask({"TimeoutMs": 10000, "Topics": topics})
        assert (answer["ErrorCode"], answer["Topics"]) == (NONE, [])


@exchange
def controlled_shutdown(world, ask, version):
    answer = ask({"BrokerId": 99, "BrokerEpoch": -1})
    assert (answer["ErrorCode"], answer["RemainingPartitions"]) == (BROKER_NOT_AVAILABLE, [])


# ---- the tests ---------------------------------------------------------------------------------


def test_every_advertised_api_has_an_exchange_here(world):
    served = {wire.APIS[key].name for key in wire.advertised(world.broker.port)}
    assert sorted(served - set(EXCHANGES)) == [], "advertised, and never asked"
    assert sorted(set(EXCHANGES) - served) == [], "asked, and not advertised"


def test_the_decoder_here_takes_neither_more_nor_less_than_a_message():
    """What the tests below lean on: an answer that is a byte off in any version is noticed."""
    message = wire.BY_NAME["FindCoordinator"].response
    for version in range(message.versions[0], message.versions[1] + 1):
        values = {"Host": "h", "Coordinators": [{"Key": "k", "Host": "h", "ErrorMessage": None}]}
        good = wire.encode(message, version, values)
        got = wire.decode(message, version, good)
        assert (got["Coordinators"][0]["Key"] == "k") if version >= 4 else (got["Host"] == "h")
        for bad in good + b"\0", good[:-1]:
            with pytest.raises(wire.WireError):
                wire.decode(message, version, bad)


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_every_version_is_answered_in_its_own_form(world, name):
    lowest, highest = wire.advertised(world.broker.port)[wire.BY_NAME[name].key]
    assert lowest <= highest
    for version in range(lowest, highest + 1):
        with world.connect() as c:
            def ask(values):
                answer = c.call(name, version, values)
                assert answer.get("ThrottleTimeMs", 0) == 0
                return answer

            try:
                EXCHANGES[name](world, ask, version)
            except Exception as failure:
                raise AssertionError(f"{name} version {version}: {failure!r}") from failure


def test_a_short_question_about_very_many_partitions_is_answered(world):
    partitions = [dict(new_partition("many"), PartitionIndex=i) for i in range(20000)]
    with world.connect() as c:
        told = c.call("UpdateMetadata", 8, dict(from_controller(), TopicStates=[
            {"TopicName": "many", "TopicId": bytes(15) + b"m", "PartitionStates": partitions}],
            LiveBrokers=[{"Id": 0, "Endpoints": [{
                "Port": world.broker.port, "Host": "127.0.0.1", "Listener": "PLAINTEXT"}]}]))
        assert told["ErrorCode"] == NONE
        for topics in None, [{"Name": "many"}]:
            answer = c.call("Metadata", 12, {"Topics": topics})
            counts = {t["Name"]: len(t["Partitions"]) for t in answer["Topics"]}
            assert counts["many"] == 20000


def test_a_broker_that_is_ready_names_the_controller(make_broker):
    for _ in range(5):
        broker = make_broker().start()
        with Connection(broker.port) as c:
            assert c.call("Metadata", 1, {"Topics": []})["ControllerId"] == 0
        broker.stop()
