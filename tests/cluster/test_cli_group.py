"""klamm group against a broker with real consumers: what it prints, does, and exits with."""
import datetime
import json
import os
import subprocess
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

from conftest import BUILD, wait_until


@pytest.fixture
def broker(make_broker):
    """One that does not wait for more members."""
    return make_broker({"group.initial.rebalance.delay.ms": 0}).start()


def ok(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(result, *words, code=1):
    assert result.returncode == code, (result.stdout, result.stderr)
    for word in words:
        assert word in result.stderr
    return result.stderr


def fill(broker, topic, counts):
    """A topic with one partition for each count, and so many records in it."""
    ok(broker.klamm("topic", "create", topic, "--partitions", len(counts)))
    for partition, count in enumerate(counts):
        ok(broker.klamm("produce", "-t", topic, "-p", partition,
                        input="".join(f"{i}\n" for i in range(count))))


def commit(broker, group, offsets):
    """Commits from outside the group: {"topic:partition": offset}."""
    for partition, offset in offsets.items():
        ok(broker.klamm("group", "reset-offsets", group, "--topic", partition, "--to-offset",
                        offset, "--execute"))


def committed(broker, group):
    (g,) = json.loads(ok(broker.klamm("group", "describe", group, "--json")))
    return {(p["topic"], p["partition"]): p["current_offset"] for p in g["partitions"]
            if p["current_offset"] is not None}


@contextmanager
def members(broker, group, topics, count=1, **config):
    """Consumers that share the topics until all partitions are with them; then they leave."""
    consumers = []
    for i in range(count):
        consumers.append(Consumer({
            "bootstrap.servers": broker.bootstrap, "group.id": group, "client.id": f"client{i}",
            "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "session.timeout.ms": 6000, "partition.assignment.strategy": "range",
            **({"group.instance.id": f"instance{i}"} if config.get("static") else {})}))
        consumers[-1].subscribe(topics)

    def settled():
        for consumer in consumers:
            consumer.poll(0.05)
        # Asked only then: consumers are not polled while klamm waits for a coordinator.
        if not all(c.assignment() for c in consumers):
            return False
        told = broker.klamm("group", "state", group, "--json")
        return told.returncode == 0 and [
            (g["state"], g["members"]) for g in json.loads(told.stdout)] == [("Stable", count)]

    try:
        wait_until(settled, f"{count} members of {group} are stable")
        yield consumers
    finally:
        for consumer in consumers:
            consumer.close()


def rows(text):
    """Header and rows of a table, as lists of cells."""
    return [line.split() for line in text.splitlines() if line]


def test_lag_and_owner_of_each_partition_are_told(broker):
    k = broker.klamm
    fill(broker, "orders", [30, 20])
    fill(broker, "prices", [10])
    commit(broker, "billing", {"orders:0": 12, "prices:0": 10})
    with members(broker, "billing", ["orders"]):
        text = ok(k("group", "describe", "billing"))
        (group,) = json.loads(ok(k("group", "describe", "--group", "billing", "--json")))
    table = rows(text)
    assert table[0] == ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG",
                        "CONSUMER-ID", "HOST", "CLIENT-ID"]
    assert [r[:6] for r in table[1:]] == [["billing", "orders", "0", "12", "30", "18"],
                                          ["billing", "orders", "1", "-", "20", "-"],
                                          ["billing", "prices", "0", "10", "10", "0"]]
    assert table[1][6].startswith("client0-") and table[1][7:] == ["/127.0.0.1", "client0"]
    assert table[3][6:] == ["-", "-", "-"]
    assert (group["group"], group["state"], group["members"], group["lag"]) == (
        "billing", "Stable", 1, 18)
    assert group["partitions"][1] == {
        "topic": "orders", "partition": 1, "current_offset": None, "log_end_offset": 20,
        "lag": None, "consumer_id": table[2][6], "group_instance_id": None, "host": "/127.0.0.1",
        "client_id": "client0"}


def test_a_group_without_members_is_told_with_a_word_of_it(broker):
    fill(broker, "t", [5])
    commit(broker, "g", {"t": 2})
    result = broker.klamm("group", "describe", "g")
    assert rows(ok(result))[1] == ["g", "t", "0", "2", "5", "3", "-", "-", "-"]
    assert "Consumer group 'g' has no active members." in result.stderr


def test_offsets_of_a_deleted_topic_do_not_hide_the_others(broker):
    k = broker.klamm
    fill(broker, "gone", [5])
    fill(broker, "here", [5])
    commit(broker, "g", {"gone": 1, "here": 1})
    ok(k("topic", "delete", "gone"))

    def told():
        (g,) = json.loads(ok(k("group", "describe", "g", "--json")))
        return {p["topic"]: (p["current_offset"], p["log_end_offset"]) for p in g["partitions"]}

    # A coordinator forgets a deleted topic's offsets by itself, at once or a little later.
    wait_until(lambda: told() in ({"here": (1, 5)}, {"gone": (1, None), "here": (1, 5)}),
               "what is left is told")


def test_a_group_that_is_not_there_ends_with_1(broker):
    k = broker.klamm
    refused(k("group", "describe", "nope"), "no group 'nope'", "klamm group list")
    refused(k("group", "state", "nope"), "no group 'nope'")
    refused(k("group", "members", "nope", "--json"), "no group 'nope'")
    fill(broker, "t", [5])
    commit(broker, "g", {"t": 2})
    result = k("group", "describe", "g", "nope", "--json")
    refused(result, "no group 'nope'")
    assert [g["group"] for g in json.loads(result.stdout)] == ["g"]


def test_members_are_told_with_their_assignment(standalone):
    k = standalone.klamm
    fill(standalone, "a", [1, 1, 1])
    fill(standalone, "b", [1])
    with members(standalone, "g", ["a", "b"], count=2, static=True):
        table = rows(ok(k("group", "members", "g")))
        (group,) = json.loads(ok(k("group", "members", "--all-groups", "--json")))
        verbose = ok(k("group", "members", "g", "--verbose"))
    assert table[0] == ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID",
                        "#PARTITIONS", "ASSIGNMENT-STRATEGY"]
    assert sorted(r[2:] for r in table[1:]) == [
        ["instance0", "/127.0.0.1", "client0", "3", "range"],
        ["instance1", "/127.0.0.1", "client1", "1", "range"]]
    assert (group["state"], group["assignment_strategy"]) == ("Stable", "range")
    assert {m["group_instance_id"]: [(p["topic"], p["partition"]) for p in m["assignment"]]
            for m in group["members"]} == {
                "instance0": [("a", 0), ("a", 1), ("b", 0)], "instance1": [("a", 2)]}
    assert "  a(0,1), b(0)\n" in verbose.replace("range", "") and " a(2)\n" in verbose


def test_a_state_is_told_with_its_coordinator(broker):
    k = broker.klamm
    fill(broker, "t", [1])
    commit(broker, "empty", {"t": 0})
    with members(broker, "stable", ["t"]):
        table = rows(ok(k("group", "state", "--all-groups")))
        groups = json.loads(ok(k("group", "state", "stable", "empty", "--json")))
    where = f"127.0.0.1:{broker.port}"
    assert table[0] == ["GROUP", "COORDINATOR", "(ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]
    assert table[1:] == [["empty", where, f"({broker.id})", "-", "Empty", "0"],
                         ["stable", where, f"({broker.id})", "range", "Stable", "1"]]
    assert [(g["group"], g["state"], g["members"]) for g in groups] == [
        ("empty", "Empty", 0), ("stable", "Stable", 1)]
    assert groups[0]["coordinator"] == {"id": broker.id, "host": "127.0.0.1",
                                        "port": broker.port}


def test_groups_are_listed_by_name_state_and_type(broker):
    k = broker.klamm
    fill(broker, "t", [1])
    assert ok(k("group", "list")) == ""
    commit(broker, "b", {"t": 0})
    commit(broker, "a", {"t": 0})
    with members(broker, "c", ["t"]):
        assert ok(k("group", "list")) == "a\nb\nc\n"
        assert rows(ok(k("group", "list", "--state"))) == [
            ["GROUP", "STATE"], ["a", "Empty"], ["b", "Empty"], ["c", "Stable"]]
        assert rows(ok(k("group", "list", "--state", "stable,Dead", "--type"))) == [
            ["GROUP", "TYPE", "STATE"], ["c", "Classic", "Stable"]]
        assert rows(ok(k("group", "list", "--type=consumer"))) == [["GROUP", "TYPE"]]
        assert json.loads(ok(k("group", "list", "--state=empty", "--json"))) == [
            {"group": "a", "state": "Empty"}, {"group": "b", "state": "Empty"}]
    refused(k("group", "list", "--state", "happy"), "happy", "PreparingRebalance", code=2)
    refused(k("group", "list", "--type", "new"), "'new'", code=2)


@contextmanager
def watching(broker, *args):
    """klamm group describe --watch: the process, whose output is one line a round."""
    with subprocess.Popen([str(BUILD / "klamm"), "group", "describe", *args, "--watch", "1", "--json"],
                          env=dict(os.environ, KLAMM_BOOTSTRAP_SERVER=broker.bootstrap),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            yield watch
        finally:
            watch.kill()


def next_lag(watch):
    """Of the only group; None in a round in which it could not be told."""
    lags = [g["lag"] for g in json.loads(watch.stdout.readline())]
    return lags[0] if lags else None


def test_watching_tells_again_what_has_changed(broker):
    fill(broker, "t", [10])
    commit(broker, "g", {"t": 0})
    with watching(broker, "g") as watch:
        assert next_lag(watch) == 10
        commit(broker, "g", {"t": 4})
        wait_until(lambda: next_lag(watch) == 6, "the new lag is told")


def test_watching_goes_on_after_a_broker_was_away(broker):
    fill(broker, "t", [10])
    commit(broker, "g", {"t": 4})
    with watching(broker, "g", "--timeout", "1500") as watch:
        assert next_lag(watch) == 6
        broker.kill()
        assert "no answer from" in watch.stderr.readline()
        broker.start()
        commit(broker, "g", {"t": 9})
        wait_until(lambda: next_lag(watch) == 1, "the new lag is told")


def test_a_plan_is_printed_and_nothing_changed_without_execute(broker):
    k = broker.klamm
    fill(broker, "t", [10, 20])
    commit(broker, "g", {"t": 5})
    for dry_run in ([], ["--dry-run"]):
        result = k("group", "reset-offsets", "g", "--topic", "t", "--to-latest", *dry_run)
        assert rows(ok(result)) == [
            ["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET", "CURRENT-OFFSET"],
            ["g", "t", "0", "10", "5"], ["g", "t", "1", "20", "5"]]
        assert ("--execute" in result.stderr) == (not dry_run)
    assert committed(broker, "g") == {("t", 0): 5, ("t", 1): 5}


def test_each_kind_of_reset_goes_where_it_says(broker):
    k = broker.klamm
    fill(broker, "t", [100, 50])
    ok(k("topic", "delete-records", "t", "--partition", 0, "--offset", 10))
    commit(broker, "g", {"t:0": 40, "t:1": 40})

    def reset(*where, scope=("--all-topics",)):
        ok(k("group", "reset-offsets", "g", *scope, *where, "--execute"))
        offsets = committed(broker, "g")
        return offsets[("t", 0)], offsets[("t", 1)]

    assert reset("--to-current") == (40, 40)
    assert reset("--to-offset", 45) == (45, 45)
    assert reset("--shift-by", -5) == (40, 40)
    assert reset("--shift-by", 15, scope=("--topic", "t:1")) == (40, 50)
    assert reset("--to-earliest") == (10, 0)
    assert reset("--to-latest") == (100, 50)
    assert reset("--by-duration", "P1D") == (10, 0)
    assert reset("--to-datetime", "2200-01-01T00:00:00.000") == (100, 50)
    (ts,) = [json.loads(l)["ts"] for l in
             ok(k("consume", "-t", "t", "-p", 1, "-o", 0, "-c", 1, "--json")).splitlines()]
    stamp = datetime.datetime.fromtimestamp(ts / 1000, datetime.timezone.utc)
    when = stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ts % 1000:03}"
    assert reset("--to-datetime", when, scope=("--topic", "t:1")) == (100, 0)


def test_an_offset_outside_the_log_becomes_its_bound_and_is_told(broker):
    k = broker.klamm
    fill(broker, "t", [100])
    ok(k("topic", "delete-records", "t", "--partition", 0, "--offset", 10))
    result = k("group", "reset-offsets", "g", "--topic", "t", "--to-offset", 3, "--execute")
    ok(result)
    assert "offset 3 is before the log's start: 10 instead" in result.stderr
    result = k("group", "reset-offsets", "g", "--topic", "t", "--shift-by", 1000, "--json")
    (partition,) = json.loads(ok(result))["groups"][0]["partitions"]
    assert partition == {"topic": "t", "partition": 0, "current_offset": 10, "new_offset": 100,
                         "requested_offset": 1010, "error": None}
    assert "offset 1010 is beyond the log's end: 100 instead" in result.stderr
    assert committed(broker, "g") == {("t", 0): 10}


def test_a_group_with_members_is_not_reset_and_others_are(broker):
    k = broker.klamm
    fill(broker, "t", [10])
    commit(broker, "busy", {"t": 3})
    commit(broker, "idle", {"t": 3})
    with members(broker, "busy", ["t"]):
        result = k("group", "reset-offsets", "busy", "idle", "--topic", "t", "--to-latest",
                   "--execute")
        refused(result, "group 'busy' is Stable and has 1 member", "Stop its consumers")
        assert [r[0] for r in rows(result.stdout)[1:]] == ["idle"]
        assert committed(broker, "busy") == {("t", 0): 3}
        assert committed(broker, "idle") == {("t", 0): 10}
    ok(k("group", "reset-offsets", "busy", "--topic", "t", "--to-latest", "--execute"))
    assert committed(broker, "busy") == {("t", 0): 10}


def test_consumers_go_on_where_their_group_was_put(broker):
    k = broker.klamm
    fill(broker, "t", [10])
    commit(broker, "g", {"t": 10})
    ok(k("group", "reset-offsets", "g", "--topic", "t", "--shift-by", -3, "--execute"))
    got = []
    with members(broker, "g", ["t"]) as (consumer,):
        # What members() polled while it waited is not kept: from the committed offset again.
        consumer.seek(consumer.committed(consumer.assignment())[0])

        def read():
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                got.append(message.offset())
            return len(got) == 3

        wait_until(read, "three records")
    assert got == [7, 8, 9]


def test_an_export_brings_all_groups_back(broker, tmp_path):
    k = broker.klamm
    fill(broker, "t", [10, 20])
    fill(broker, "u", [10])
    commit(broker, "one", {"t:0": 3, "t:1": 4, "u": 5})
    commit(broker, "two", {"t:1": 6})
    odd = 'with, comma and "quotes"'
    commit(broker, odd, {"u": 7})
    before = {g: committed(broker, g) for g in ("one", "two", odd)}
    everything = ("group", "reset-offsets", "--all-groups", "--all-topics")
    file = tmp_path / "all.csv"
    file.write_text(ok(k(*everything, "--to-current", "--export")))
    assert sorted(file.read_text().splitlines()) == sorted([
        "one,t,0,3", "one,t,1,4", "one,u,0,5", "two,t,1,6",
        '"with, comma and ""quotes""",u,0,7'])
    ok(k(*everything, "--to-earliest", "--execute"))
    assert {g: committed(broker, g) for g in before} != before
    ok(k("group", "reset-offsets", "--all-groups", "--from-file", file, "--execute"))
    assert {g: committed(broker, g) for g in before} == before

    single = tmp_path / "one.csv"
    single.write_text(ok(k("group", "reset-offsets", "one", "--all-topics", "--to-current",
                           "--export")))
    assert single.read_text() == "t,0,3\nt,1,4\nu,0,5\n"
    ok(k("group", "delete", "one"))
    ok(k("group", "reset-offsets", "one", "--from-file", single, "--execute"))
    assert committed(broker, "one") == before["one"]


def test_a_file_that_cannot_be_used_changes_nothing(broker, tmp_path):
    k = broker.klamm
    fill(broker, "t", [10])
    commit(broker, "g", {"t": 3})
    file = tmp_path / "offsets.csv"

    def reset(text, *args, code=2):
        file.write_text(text)
        return refused(k("group", "reset-offsets", *args, "--from-file", file, "--execute"),
                       code=code)

    assert "line 2: the offset is no number" in reset("t,0,1\nt,0,x\n", "g")
    assert "names no groups" in reset("t,0,1\n", "g", "h")
    assert "names no groups" in reset("t,0,1\n", "--all-groups")
    assert "leave out --topic" in reset("t,0,1\n", "g", "--topic", "t")
    assert "has no offsets of it" in reset("h,t,0,1\n", "g", code=1)
    assert "no partition t-1" in reset("t,0,1\nt,1,1\n", "g", code=1)
    refused(k("group", "reset-offsets", "g", "--from-file", tmp_path / "nothing"), "nothing",
            code=2)
    assert committed(broker, "g") == {("t", 0): 3}


def test_a_reset_without_a_committed_offset_is_refused_where_it_needs_one(broker):
    k = broker.klamm
    fill(broker, "t", [10, 10])
    commit(broker, "g", {"t:0": 3})
    refused(k("group", "reset-offsets", "g", "--topic", "t", "--shift-by", 1, "--execute"),
            "t-1 has no committed offset to shift")
    refused(k("group", "reset-offsets", "new", "--all-topics", "--to-latest"),
            "'new' has no committed offsets")
    refused(k("group", "reset-offsets", "g", "--topic", "nope", "--to-latest"), "no topic 'nope'")
    refused(k("group", "reset-offsets", "g", "--topic", "t:7", "--to-latest"),
            "no partition t-7")
    assert committed(broker, "g") == {("t", 0): 3}


@pytest.mark.parametrize("args, word", [
    (["g"], "where to?"),
    (["g", "--to-latest"], "which partitions?"),
    (["--topic", "t", "--to-latest"], "which group?"),
    (["g", "--all-groups", "--topic", "t", "--to-latest"], "--all-groups"),
    (["g", "--topic", "t", "--all-topics", "--to-latest"], "--all-topics"),
    (["g", "--topic", "t:x", "--to-latest"], "'t:x'"),
    (["g", "--topic", "t", "--to-latest", "--to-earliest"], "where to?"),
    (["g", "--topic", "t", "--to-latest", "--dry-run", "--execute"], "--dry-run"),
    (["g", "--topic", "t", "--to-latest", "--export", "--json"], "--export"),
    (["g", "--topic", "t", "--to-offset", "-1"], "--to-offset"),
    (["g", "--topic", "t", "--to-datetime", "yesterday"], "yesterday"),
    (["g", "--topic", "t", "--by-duration", "6h"], "6h"),
    (["", "--topic", "t", "--to-latest"], "cannot be empty"),
])
def test_a_reset_that_makes_no_sense_ends_with_2(broker, args, word):
    refused(broker.klamm("group", "reset-offsets", *args), word,
            "klamm group reset-offsets --help", code=2)


def test_committed_offsets_of_chosen_partitions_are_deleted(broker):
    k = broker.klamm
    fill(broker, "a", [5, 5])
    fill(broker, "b", [5])
    commit(broker, "g", {"a:0": 1, "a:1": 2, "b": 3})
    table = rows(ok(k("group", "delete-offsets", "g", "--topic", "a:1")))
    assert table == [["TOPIC", "PARTITION", "STATUS"], ["a", "1", "Successful"]]
    assert committed(broker, "g") == {("a", 0): 1, ("b", 0): 3}
    assert json.loads(ok(k("group", "delete-offsets", "--group", "g", "--all-topics", "--json"))) == [
        {"topic": "a", "partition": 0, "deleted": True, "error": None},
        {"topic": "b", "partition": 0, "deleted": True, "error": None}]
    refused(k("group", "delete-offsets", "nope", "--topic", "a"), "no group 'nope'")
    refused(k("group", "delete-offsets", "g"), "which partitions?", code=2)


def test_offsets_of_a_topic_that_is_subscribed_to_stay(broker):
    k = broker.klamm
    fill(broker, "a", [5])
    fill(broker, "b", [5])
    commit(broker, "g", {"a": 1, "b": 3})
    with members(broker, "g", ["a"]):
        refused(k("group", "delete-offsets", "g", "--topic", "a", "--topic", "b"),
                "a-0", "subscribe to the topic")
        assert committed(broker, "g") == {("a", 0): 1}
        refused(k("group", "delete-offsets", "g", "--topic", "b"), "no committed offsets there")


def test_groups_are_deleted_but_not_under_their_members(broker):
    k = broker.klamm
    fill(broker, "t", [5])
    commit(broker, "a", {"t": 1})
    commit(broker, "b", {"t": 1})
    with members(broker, "busy", ["t"]):
        result = k("group", "delete", "a", "busy")
        refused(result, "group 'busy' has members")
        assert result.stdout == "Deleted group a.\n"
        assert ok(k("group", "list")) == "b\nbusy\n"
    refused(k("group", "delete", "a"), "group 'a'")
    assert ok(k("group", "delete", "a", "--if-exists")) == "Group a does not exist.\n"
    told = json.loads(ok(k("group", "delete", "--all-groups", "--json")))
    assert {"group": "b", "deleted": True} in told
    assert ok(k("group", "list")) == ""


def test_many_groups_and_partitions_are_told_in_one_go(broker):
    k = broker.klamm
    ok(k("topic", "create", "wide", "--partitions", 600))
    names = [f"g{i:03}" for i in range(300)]
    ok(k("group", "reset-offsets", *names, "--topic", "wide:0,599", "--to-latest", "--execute"))
    ok(k("group", "reset-offsets", "all", "--topic", "wide", "--to-earliest", "--execute"))
    groups = json.loads(ok(k("group", "describe", "--all-groups", "--json")))
    assert [g["group"] for g in groups] == ["all"] + names
    assert len(groups[0]["partitions"]) == 600
    assert all(p["lag"] == 0 for g in groups for p in g["partitions"])
    assert all(len(g["partitions"]) == 2 for g in groups[1:])


def test_control_characters_in_a_name_do_not_reach_the_terminal(broker):
    k = broker.klamm
    fill(broker, "t", [5])
    commit(broker, "evil\x1b[2J", {"t": 1})
    assert ok(k("group", "list")) == "evil\\x1b[2J\n"
    result = k("group", "describe", "--all-groups")
    assert "\x1b" not in ok(result) + result.stderr
    assert json.loads(ok(k("group", "list", "--json")))[0]["group"] == "evil\x1b[2J"


def test_the_shell_is_told_the_group_commands(broker):
    words = ok(broker.klamm("help", "--words", "group")).split()
    assert words == ["list", "describe", "members", "state", "reset-offsets", "delete-offsets",
                     "delete"]
    assert "--to-datetime=" in ok(broker.klamm("help", "--words", "group",
                                                   "reset-offsets")).split()
