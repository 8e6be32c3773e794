"""Committed offsets: what expires, what goes with its topic, and records that nobody can read."""
import struct

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from conftest import wait_until
from test_groups import SETTINGS, committed, make_topic, state
from wire import Connection

INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, INVALID_REQUEST = 24, 25, 42


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def commit(broker, group, topic, offsets, version=4, metadata="", **more):
    """Commits {partition: offset} from outside the group; {partition: error}."""
    with Connection(broker.port) as c:
        wait_until(lambda: c.call("FindCoordinator", 2, {"Key": group})["ErrorCode"] == 0,
                   "the group has a coordinator")
        answer = c.call("OffsetCommit", version, {"GroupId": group, **more, "Topics": [
            {"Name": topic, "Partitions": [
                {"PartitionIndex": p, "CommittedOffset": o, "CommittedMetadata": metadata}
                for p, o in offsets.items()]}]})
    return {p["PartitionIndex"]: p["ErrorCode"] for p in answer["Topics"][0]["Partitions"]}


def commit_well(broker, *args, **more):
    def done():
        errors = set(commit(broker, *args, **more).values())
        assert errors <= {0, 14, 15, 16}, errors  # or not loaded yet
        return errors == {0}
    wait_until(done, "the offsets are committed")


def ask(broker, group, topic, partitions=4):
    """committed(), once the group's partition is loaded."""
    with Connection(broker.port) as c:
        wait_until(lambda: c.call("OffsetFetch", 5, {"GroupId": group, "Topics": []})
                   ["ErrorCode"] == 0, "the group is loaded")
    return committed(broker, group, topic, partitions)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_offset_expires_after_the_time_its_commit_names(make_broker, version):
    broker = make_broker({**SETTINGS, "offsets.retention.check.interval.ms": 50}).start()
    topic = make_topic(broker)
    commit_well(broker, "g", topic, {0: 5, 1: 6}, RetentionTimeMs=3600000)
    commit_well(broker, "g", topic, {2: 7}, version=version, RetentionTimeMs=100)
    commit_well(broker, "alone", topic, {3: 8}, version=version, RetentionTimeMs=100)
    commit_well(broker, "kept", topic, {3: 9})
    wait_until(lambda: broker.metric("klamm_offsets_expired_total") == 2, "two offsets expire")
    for _ in range(2):  # before and after a restart: tombstones tell so
        assert ask(broker, "g", topic) == {0: 5, 1: 6}
        assert ask(broker, "alone", topic) == {}
        assert ask(broker, "kept", topic) == {3: 9}
        assert state(broker, "alone") == ("Dead", 0)
        broker.restart()


def join(broker, group, topic):
    """A member that never comes again: the fields of its requests."""
    subscription = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">i", -1)
    request = {"GroupId": group, "SessionTimeoutMs": 60000, "RebalanceTimeoutMs": 60000,
               "ProtocolType": "consumer",
               "Protocols": [{"Name": "range", "Metadata": subscription}]}
    with Connection(broker.port) as c:
        joined = c.call("JoinGroup", 2, request)
        assert joined["ErrorCode"] == 0
        member = {"MemberId": joined["MemberId"]}
        synced = c.call("SyncGroup", 2, {
            "GroupId": group, "GenerationId": joined["GenerationId"], **member,
            "Assignments": [{**member, "Assignment": b"x"}]})
        assert synced["ErrorCode"] == 0
    return {**member, "GenerationIdOrMemberEpoch": joined["GenerationId"]}


def test_offsets_of_what_members_read_stay_and_others_expire(make_broker):
    broker = make_broker({**SETTINGS, "offsets.retention.check.interval.ms": 50}).start()
    read, other = make_topic(broker, "read"), make_topic(broker, "other")
    commit_well(broker, "g", other, {0: 1})
    member = join(broker, "g", read)
    assert commit(broker, "g", read, {0: 1}) == {0: UNKNOWN_MEMBER_ID}  # from outside
    commit_well(broker, "g", read, {1: 2}, RetentionTimeMs=1, **member)
    commit_well(broker, "g", other, {0: 3}, RetentionTimeMs=1, **member)
    wait_until(lambda: ask(broker, "g", other) == {}, "the offset of the other topic expires")
    assert broker.metric("klamm_offsets_expired_total") == 1
    assert ask(broker, "g", read) == {1: 2}


def test_offsets_go_with_their_topic(make_broker):
    broker = make_broker(SETTINGS).start()
    gone, kept = make_topic(broker, "gone"), make_topic(broker, "kept")
    groups = [f"g{i}" for i in range(20)]
    for g in groups:
        commit_well(broker, g, gone, {0: 1, 3: 2})
        commit_well(broker, g, kept, {1: 3})
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([gone])[gone].result(30)
    wait_until(lambda: all(ask(broker, g, gone) == {} for g in groups), "the offsets go")
    broker.restart()
    make_topic(broker, "gone")  # another topic of that name begins without offsets
    for g in groups:
        assert ask(broker, g, gone) == {}
        assert ask(broker, g, kept) == {1: 3}


def write(broker, records):
    """Records straight into __consumer_offsets, as Kafka lets this client id alone do."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "client.id": "__admin_client"})
    for key, value in records:
        producer.produce("__consumer_offsets", key=key, value=value, partition=0)
    assert producer.flush(30) == 0


def test_records_that_cannot_be_read_are_passed_over_counted_and_said_once(make_broker):
    broker = make_broker({**SETTINGS, "offsets.topic.num.partitions": 1}).start()
    topic = make_topic(broker)
    commit_well(broker, "g", topic, {0: 1, 1: 2})
    offset_key = struct.pack(">h", 1) + text("g") + text(topic) + struct.pack(">i", 2)
    write(broker, [
        (struct.pack(">h", 3) + text("g"), b"\0\1of another kind"),     # unknown
        (struct.pack(">h", 9999), b""),                                   # unknown
        (b"\0", b"x"),                                                    # no version at all
        (offset_key[:-1], b"x"),                                          # a key cut short
        (offset_key, struct.pack(">hq", 3, 77)),                          # a value cut short
        (struct.pack(">h", 2) + text("h"), b"\0\3\xff"),                 # a group cut short
    ])
    commit_well(broker, "g", topic, {3: 4})
    broker.restart()
    assert ask(broker, "g", topic) == {0: 1, 1: 2, 3: 4}
    assert broker.metric("klamm_group_records_skipped_total") == 6
    said = [l for l in broker.log().splitlines() if "passed over records" in l]
    assert len(said) == 2 and "records=4" in said[0] and "records=2" in said[1], said
    commit_well(broker, "g", topic, {2: 5})
    assert ask(broker, "g", topic) == {0: 1, 1: 2, 2: 5, 3: 4}


def test_a_batch_whose_bytes_have_rotted_does_not_hide_what_follows(make_broker):
    broker = make_broker({**SETTINGS, "offsets.topic.num.partitions": 1}).start()
    topic = make_topic(broker)
    for partition in range(4):
        commit_well(broker, "g", topic, {partition: 10 + partition})
    broker.stop()
    file = broker.data / "__consumer_offsets-0" / "00000000000000000000.log"
    data = bytearray(file.read_bytes())
    batches, at = [], 0
    while at < len(data):
        batches.append(at)
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    data[batches[2] - 1] ^= 0x55  # the last byte of the second batch
    file.write_bytes(data)
    broker.start()
    assert ask(broker, "g", topic) == {0: 10, 2: 12, 3: 13}
    assert broker.metric("klamm_group_records_skipped_total") == 1
    assert len([l for l in broker.log().splitlines() if "passed over records" in l]) == 1


def test_metadata_of_a_commit_may_hold_any_text(make_broker):
    broker = make_broker(SETTINGS).start()
    topic = make_topic(broker)
    for metadata in ("Hello\0world!", "", "\0", "ä€𝄞"):
        commit_well(broker, "g", topic, {0: 1}, metadata=metadata)
        broker.restart()
        ask(broker, "g", topic)
        with Connection(broker.port) as c:
            answer = c.call("OffsetFetch", 5, {"GroupId": "g", "Topics": [
                {"Name": topic, "PartitionIndexes": [0]}]})
        assert answer["Topics"][0]["Partitions"][0]["Metadata"] == metadata


def test_names_with_a_nul_are_refused(make_broker):
    broker = make_broker(SETTINGS).start()
    topic = make_topic(broker)
    commit_well(broker, "g", topic, {0: 1})
    assert commit(broker, "g\0h", topic, {0: 2}) == {0: INVALID_GROUP_ID}
    request = {"GroupId": "g", "SessionTimeoutMs": 6000, "RebalanceTimeoutMs": 6000,
            "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": b""}]}
    with Connection(broker.port) as c:
        for change, error in (({"GroupId": "g\0h"}, INVALID_GROUP_ID),
                              ({"ProtocolType": "consumer\0"}, INVALID_REQUEST),
                              ({"GroupInstanceId": "i\0j"}, INVALID_REQUEST),
                              ({"Protocols": [{"Name": "ra\0ge", "Metadata": b""}]},
                               INVALID_REQUEST)):
            assert c.call("JoinGroup", 5, {**request, **change})["ErrorCode"] == error
        listed = [g["GroupId"] for g in c.call("ListGroups", 4, {})["Groups"]]
    assert listed == ["g"] and ask(broker, "g", topic) == {0: 1}
