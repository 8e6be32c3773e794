"""Consumer groups as stock clients use them: members that come, go, stall and come back."""
import signal
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from conftest import Process, wait_until
from wire import Connection

INVALID_GROUP_ID, INVALID_REQUEST = 24, 42

SETTINGS = {
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 5,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
}


@pytest.fixture
def broker(make_broker):
    return make_broker(SETTINGS).start()


def make_topic(broker, name="t", partitions=4):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
    return name


def produce(broker, topic, count, first=0):
    """Records "first".."first+count-1", each with its number as key."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    for i in range(first, first + count):
        producer.produce(topic, key=str(i), value=str(i))
        producer.poll(0)
    assert producer.flush(60) == 0


class Member:
    """A consumer on a thread of its own; everything it saw."""

    def __init__(self, broker, group, topic, stop_by="close", **config):
        self.consumer = Consumer({
            "bootstrap.servers": broker.bootstrap, "group.id": group,
            "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200, "enable.auto.commit": False, **config})
        self.assigned = set()
        self.rebalances = 0
        self.seen = []
        self.committed = {}  # partition -> offset, as acknowledged
        self.errors = []
        self.running = True
        self.leaves = stop_by == "close"
        cooperative = "cooperative" in config.get("partition.assignment.strategy", "")
        self.incremental = cooperative
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_assign(self, consumer, partitions):
        self.rebalances += 1
        if self.incremental:
            self.assigned |= {p.partition for p in partitions}
            consumer.incremental_assign(partitions)
        else:
            self.assigned = {p.partition for p in partitions}
            consumer.assign(partitions)

    def on_revoke(self, consumer, partitions):
        if self.incremental:
            self.assigned -= {p.partition for p in partitions}
            consumer.incremental_unassign(partitions)
        else:
            self.assigned = set()
            consumer.unassign()

    def run(self):
        while self.running:
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                self.errors.append(str(message.error()))
                continue
            self.seen.append(message.value().decode())
            try:
                for p in self.consumer.commit(message=message, asynchronous=False):
                    self.committed[p.partition] = p.offset
            except KafkaException as e:
                self.errors.append(str(e))
        if self.leaves:
            self.consumer.close()

    def stop(self):
        self.running = False
        self.thread.join(30)
        assert not self.thread.is_alive()


def state(broker, group):
    """(state, number of members) of a group."""
    with Connection(broker.port) as c:
        (g,) = c.call("DescribeGroups", 5, {"Groups": [group]})["Groups"]
    return g["GroupState"], len(g["Members"])


def committed(broker, group, topic, partitions=4):
    """{partition: offset} of what is committed, asked without being a member."""
    with Connection(broker.port) as c:
        answer = c.call("OffsetFetch", 5, {"GroupId": group, "Topics": [
            {"Name": topic, "PartitionIndexes": list(range(partitions))}]})
    assert answer["ErrorCode"] == 0
    return {p["PartitionIndex"]: p["CommittedOffset"] for p in answer["Topics"][0]["Partitions"]
            if p["CommittedOffset"] >= 0}


def rebalances(broker):
    return broker.metric("klamm_group_rebalances_total")


def all_assigned(members, partitions):
    """Each partition has one owner, and each member something, as far as there is enough."""
    owned = [p for m in members for p in m.assigned]
    busy = sum(1 for m in members if m.assigned)
    return sorted(owned) == list(range(partitions)) and busy == min(len(members), partitions)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_the_partitions_and_each_record_is_read_once(broker, strategy):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic, **{"partition.assignment.strategy": strategy})
               for _ in range(3)]
    wait_until(lambda: all_assigned(members, 4), "all partitions are assigned once")
    produce(broker, topic, 500)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 500, "all records are read")
    members[0].stop()
    wait_until(lambda: all_assigned(members[1:], 4), "the others take over")
    produce(broker, topic, 500, first=500)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 1000, "all records are read")
    for m in members[1:]:
        m.stop()
    seen = [v for m in members for v in m.seen]
    assert sorted(map(int, seen)) == list(range(1000)), [m.errors for m in members]
    assert broker.errors() == []


def test_static_members_restart_within_their_session_without_a_rebalance(broker):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic, **{"group.instance.id": f"i{i}"}) for i in range(2)]
    wait_until(lambda: all_assigned(members, 4), "all partitions are assigned once")
    wait_until(lambda: state(broker, "g") == ("Stable", 2), "the group is stable")
    before = rebalances(broker)
    for i in range(2):
        had = members[i].assigned
        members[i].stop()
        members[i] = Member(broker, "g", topic, **{"group.instance.id": f"i{i}"})
        wait_until(lambda: members[i].assigned == had, "the member has its partitions again")
    produce(broker, topic, 100)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 100, "all records are read")
    assert rebalances(broker) == before
    assert [m.rebalances for m in members] == [1, 1]
    for m in members:
        m.stop()


def test_a_killed_consumers_partitions_go_on_from_the_committed_offset(broker, tmp_path):
    topic = make_topic(broker)
    child = Process([sys.executable, Path(__file__).parent / "group_child.py", broker.bootstrap,
                     "g", topic], tmp_path / "child.log")
    produce(broker, topic, 2000)
    wait_until(lambda: child.text().count("\n") >= 200, "the child has committed")
    child.stop(signal.SIGKILL)
    whole, _, _ = child.text().rpartition("\n")  # the last line may be cut off
    lines = [l.split() for l in whole.splitlines() if l.count(" ") == 2]
    said = {}
    for partition, offset, _ in lines:
        said[int(partition)] = int(offset)
    kept = committed(broker, "g", topic)
    # The last commit may have been acknowledged and not said any more.
    assert sum(kept.values()) - sum(said.values()) in (0, 1)
    assert all(kept[p] >= offset for p, offset in said.items())
    member = Member(broker, "g", topic)
    wait_until(lambda: len(member.seen) >= 2000 - sum(kept.values()), "the rest is read")
    member.stop()
    assert len(member.seen) == 2000 - sum(kept.values())
    once = [v for _, _, v in lines] + member.seen
    assert len(set(once)) == len(once) and 2000 - len(once) == sum(kept.values()) - sum(said.values())


def test_commits_are_confirmed_at_once_and_by_callback(broker):
    topic = make_topic(broker)
    produce(broker, topic, 10)
    told = []
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g",
                         "enable.auto.commit": False,
                         "on_commit": lambda error, partitions: told.append((error, partitions))})
    consumer.subscribe([topic])
    wait_until(lambda: consumer.poll(0.1) is None and consumer.assignment(), "it is assigned")
    offsets = [TopicPartition(topic, p, 3 + p) for p in range(4)]
    done = consumer.commit(offsets=offsets, asynchronous=False)
    assert [(p.partition, p.offset, p.error) for p in done] == [(p, 3 + p, None) for p in range(4)]
    for n in range(20):
        consumer.commit(offsets=[TopicPartition(topic, 2, 100 + n)], asynchronous=True)
    wait_until(lambda: consumer.poll(0.1) is None and len(told) == 20, "all callbacks have come")
    assert [error for error, _ in told] == [None] * 20
    assert [p.offset for _, (p,) in told] == [100 + n for n in range(20)]
    assert committed(broker, "g", topic) == {0: 3, 1: 4, 2: 119, 3: 6}
    consumer.close()


def test_two_groups_each_read_everything(broker):
    topic = make_topic(broker)
    groups = {g: [Member(broker, g, topic) for _ in range(2)] for g in ("one", "two")}
    produce(broker, topic, 500)
    for group, members in groups.items():
        wait_until(lambda: sum(len(m.seen) for m in members) >= 500, f"{group} has read all")
        wait_until(lambda: sum(committed(broker, group, topic).values()) == 500,
                   f"{group} has committed all")
    for members in groups.values():
        for m in members:
            m.stop()
        assert {int(v) for m in members for v in m.seen} == set(range(500))


def test_members_beyond_the_partitions_stand_by_and_take_over(broker):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic) for _ in range(6)]
    wait_until(lambda: all_assigned(members, 4) and state(broker, "g") == ("Stable", 6),
               "four of six have a partition")
    busy = [m for m in members if m.assigned]
    for m in busy[:2]:
        members.remove(m)
        m.stop()
    wait_until(lambda: all_assigned(members, 4) and state(broker, "g") == ("Stable", 4),
               "the idle ones have taken over")
    for m in members:
        m.stop()


def test_partitions_that_are_added_are_assigned(broker):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic, **{"topic.metadata.refresh.interval.ms": 300})
               for _ in range(2)]
    wait_until(lambda: all_assigned(members, 4), "all partitions are assigned once")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 7)])[topic].result(30)
    wait_until(lambda: all_assigned(members, 7), "the new partitions are assigned")
    for m in members:
        m.stop()


def test_a_full_group_takes_no_more_members(make_broker):
    broker = make_broker({**SETTINGS, "group.max.size": 2}).start()
    topic = make_topic(broker)
    members = [Member(broker, "g", topic) for _ in range(2)]
    wait_until(lambda: all_assigned(members, 4), "all partitions are assigned once")
    late = Member(broker, "g", topic)
    wait_until(lambda: any("GROUP_MAX_SIZE_REACHED" in e for e in late.errors),
               "the third is refused")
    assert all_assigned(members, 4) and state(broker, "g") == ("Stable", 2)
    members.pop().stop()
    wait_until(lambda: all_assigned(members + [late], 4), "there is room again")
    for m in members + [late]:
        m.stop()


def test_members_go_on_across_a_restart_of_the_broker(broker):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic, **{"session.timeout.ms": 20000}) for _ in range(3)]
    wait_until(lambda: all_assigned(members, 4) and state(broker, "g") == ("Stable", 3),
               "all partitions are assigned once")
    produce(broker, topic, 100)
    wait_until(lambda: sum(len(m.seen) for m in members) >= 100, "all records are read")
    had = [(m.assigned, m.rebalances) for m in members]
    broker.restart()
    wait_until(lambda: state(broker, "g") != ("", 0), "the group is loaded")
    assert state(broker, "g") == ("Stable", 3)
    produce(broker, topic, 100, first=100)
    wait_until(lambda: sum(committed(broker, "g", topic).values()) == 200, "all is committed")
    assert [(m.assigned, m.rebalances) for m in members] == had
    assert rebalances(broker) == 0
    for m in members:
        m.stop()


def test_kill_9_in_rebalances_and_under_commits_loses_no_acknowledged_commit(broker):
    topic = make_topic(broker)
    members = [Member(broker, "g", topic) for _ in range(2)]
    produce(broker, topic, 4000)
    for life in range(4):
        before = rebalances(broker)
        members.append(Member(broker, "g", topic))
        # One may be under way since the restart: then the new member takes part in that.
        wait_until(lambda: rebalances(broker) > before or "Rebalance" in state(broker, "g")[0],
                   "a rebalance has begun")
        if life % 2:  # under commits: it has gone through
            more = sum(sum(m.committed.values()) for m in members)
            wait_until(lambda: sum(sum(m.committed.values()) for m in members) > more,
                       "offsets are being committed")
        broker.kill()
        acknowledged = {}
        for m in members:
            for partition, offset in list(m.committed.items()):
                acknowledged[partition] = max(offset, acknowledged.get(partition, 0))
        broker.start()
        wait_until(lambda: state(broker, "g")[0] != "", "the group is loaded")
        kept = committed(broker, "g", topic)
        assert all(kept.get(p, -1) >= offset for p, offset in acknowledged.items()), (
            life, kept, acknowledged)
        produce(broker, topic, 500, first=4000 + 500 * life)
    wait_until(lambda: all_assigned(members, 4), "the group goes on", 60)
    wait_until(lambda: sum(committed(broker, "g", topic).values()) == 6000, "all is read", 60)
    for m in members:
        m.stop()
    assert {int(v) for m in members for v in m.seen} == set(range(6000))
    assert broker.errors() == []


def test_bytes_of_zero_in_names_and_metadata_harm_nobody(broker):
    """A group id with a NUL is not the group before the NUL; metadata comes back to the byte."""
    topic = make_topic(broker)
    metadata = "a\0" + "b" * 100

    def commit(group, offset):
        answer = c.call("OffsetCommit", 7, {
            "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
                {"Name": topic, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": offset,
                                                "CommittedMetadata": metadata}]}]})
        return answer["Topics"][0]["Partitions"][0]["ErrorCode"]

    def join(group, **more):
        return c.call("JoinGroup", 5, {
            "GroupId": group, "SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000,
            "MemberId": "", "ProtocolType": "consumer",
            "Protocols": [{"Name": "range", "Metadata": b""}], **more})["ErrorCode"]

    def fetched():
        answer = c.call("OffsetFetch", 5, {
            "GroupId": "g", "Topics": [{"Name": topic, "PartitionIndexes": [0]}]})
        if answer["ErrorCode"] != 0:  # still loading
            return None
        found = answer["Topics"][0]["Partitions"][0]
        return found["CommittedOffset"], found["Metadata"]

    with Connection(broker.port) as c:
        wait_until(lambda: c.call("FindCoordinator", 1, {"Key": "g", "KeyType": 0})["ErrorCode"]
                   == 0, "there is a coordinator")
        wait_until(lambda: commit("g", 7) == 0, "the groups are loaded")
        assert commit("g\0x", 8) == INVALID_GROUP_ID
        assert join("g\0x") == INVALID_GROUP_ID
        assert join("g", GroupInstanceId="i\0j") == INVALID_REQUEST
        assert join("g", Protocols=[{"Name": "r\0nge", "Metadata": b""}]) == INVALID_REQUEST
        assert fetched() == (7, metadata)
        broker.kill()
    broker.start()
    with Connection(broker.port) as c:
        wait_until(lambda: fetched() == (7, metadata), "the offset is loaded")
    assert broker.errors() == []
