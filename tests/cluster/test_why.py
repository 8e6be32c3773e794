"""klamm topic describe --why and klamm cluster: which replica is missing, since when, and why."""
import calendar
import json
import re
import shutil
import signal
import time

from conftest import wait_until
from test_controller import (UNBALANCED, awake, by_id, come_back,
                             controller_id, described, leaders, make_cluster, make_topic, no_errors,
                             reassign)
from test_records import produce
from test_throttle import LEADER, fill, throttle
from wire import Connection

__all__ = ["make_cluster"]

NONE = 0
VERSION = 4
SETTINGS = {**UNBALANCED, "replica.lag.time.max.ms": 2000}
STILL = {**SETTINGS, "klamm.supervisor.enable": "false", "zookeeper.session.timeout.ms": 10000}


def klamm(cluster, *args):
    broker = awake(cluster)[0]
    result = broker.klamm(*args)
    assert result.returncode == 0, result.stderr
    return result.stdout


def why(cluster, topic="t", partition=0):
    """The object of --why of one partition."""
    told = json.loads(klamm(cluster, "topic", "describe", topic, "--why", "--json"))
    return next(p["why"] for p in told[0]["partitions"] if p["partition"] == partition)


def missing(cluster, topic="t", partition=0):
    """{broker: what is said of it}"""
    told = why(cluster, topic, partition)
    return {} if told is None else {m["broker"]: m for m in told["missing"]}


def ask(cluster, broker, topics=(), version=VERSION):
    with Connection(broker.port) as c:
        return c.call("DescribeLogDirs", version, {
            "Topics": [], "KlammExplain": True, "KlammTopics": list(topics)})


def seconds_of(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def wait_reason(cluster, broker_id, reason):
    wait_until(lambda: missing(cluster).get(broker_id, {}).get("reason") == reason,
               f"broker {broker_id} is told as {reason}", 60)
    return missing(cluster)[broker_id]


def is_recent(text, began):
    return began - 1 <= seconds_of(text) <= time.time() + 1


def test_nothing_is_said_where_nothing_is_wrong(make_cluster):
    cluster = make_cluster(SETTINGS)
    make_topic(cluster, [[1, 2, 3]] * 2)
    assert why(cluster) is None and why(cluster, partition=1) is None
    assert "Missing" not in klamm(cluster, "topic", "describe", "--why")
    for broker in cluster.brokers:
        assert ask(cluster, broker)["KlammExplained"] == []


def test_who_does_not_ask_gets_kafkas_answer_to_the_byte(make_cluster):
    cluster = make_cluster(SETTINGS)
    make_topic(cluster, [[1, 2, 3]])
    dies = next(b for b in cluster.brokers if b.id != controller_id(cluster))
    dies.kill()
    wait_reason(cluster, dies.id, "not_registered")
    leader = by_id(cluster, leaders(cluster)[0])
    for version in range(0, VERSION + 1):
        with Connection(leader.port) as c:
            answer = c.call("DescribeLogDirs", version, {"Topics": []})
        assert answer.get("KlammExplained") is None
    assert [p["Topic"] for p in ask(cluster, leader)["KlammExplained"]] == ["t"]
    assert ask(cluster, leader, ["other"])["KlammExplained"] == []
    assert [p["Topic"] for p in ask(cluster, leader, ["other", "t"], 2)["KlammExplained"]] == ["t"]


def test_a_dead_broker_is_named_with_the_time_since_it_is_missing(make_cluster):
    cluster = make_cluster(SETTINGS)
    stays = controller_id(cluster)
    dies = next(b for b in cluster.brokers if b.id != stays)
    make_topic(cluster, [[stays, dies.id]])
    began = time.time()
    dies.kill()
    told = wait_reason(cluster, dies.id, "not_registered")
    assert is_recent(told["since"], began) and not told["since_before"]
    text = klamm(cluster, "topic", "describe", "t", "--why")
    assert re.search(rf"^\t\tMissing: {dies.id}\tSince: {told['since']} \(\d+ (ms|s|min).*\)\t"
                     r"Why: the broker is not registered$", text, re.M), text
    assert "Missing" not in klamm(cluster, "topic", "describe", "t")
    come_back(cluster, dies)
    wait_until(lambda: why(cluster) is None, "nothing is wrong any more")
    no_errors(cluster)


def test_the_next_leader_knows_only_that_it_was_before_its_time(make_cluster):
    cluster = make_cluster(SETTINGS)
    last = controller_id(cluster)
    first, second = [b for b in cluster.brokers if b.id != last]
    make_topic(cluster, [[first.id, last, second.id]])
    second.kill()
    wait_reason(cluster, second.id, "not_registered")
    first.kill()
    wait_until(lambda: set(missing(cluster)) == {first.id, second.id}, "both are missing")
    told = missing(cluster)
    assert told[second.id]["since_before"]
    assert f"Missing: {second.id}\tSince: before " in klamm(cluster, "topic", "describe", "--why")


def test_one_that_stands_still_and_one_that_is_throttled(make_cluster):
    cluster = make_cluster(STILL)
    leader = controller_id(cluster)
    follower = next(b for b in cluster.brokers if b.id != leader)
    make_topic(cluster, [[leader, follower.id]])
    throttle(cluster, [LEADER], 1000, "*")
    began = time.time()
    follower.process.send(signal.SIGSTOP)
    produce(by_id(cluster, leader).bootstrap, "t", [(None, "x" * 10000, None)] * 1000)
    told = wait_reason(cluster, follower.id, "stopped_fetching")
    assert is_recent(told["since"], began) and is_recent(told["last_fetch"], began - 10)
    assert told["lag"] == 1000
    follower.process.send(signal.SIGCONT)
    told = wait_reason(cluster, follower.id, "throttled")
    assert 0 < told["lag"] <= 1000 and told["throttled_bytes_per_second"] == 1000
    assert "records and is throttled to 1000 bytes a second" in klamm(
        cluster, "topic", "describe", "--why")
    throttle(cluster, [LEADER], None, "*")
    wait_until(lambda: why(cluster) is None, "it has caught up")


def test_a_replica_that_is_being_copied_lags_and_catches_up(make_cluster):
    cluster = make_cluster(SETTINGS)
    make_topic(cluster, [[1, 2]])
    fill(cluster, 20)
    throttle(cluster, ["follower"], 100_000, "0:3")
    began = time.time()
    assert reassign(cluster, {0: [1, 2, 3]}) == {0: NONE}
    told = wait_reason(cluster, 3, "throttled")  # by itself, at a rate that the leader cannot know
    assert 0 < told["lag"] and told["throttled_bytes_per_second"] is None
    assert is_recent(told["since"], began) and not told["since_before"]
    throttle(cluster, ["follower"], None, None)
    wait_until(lambda: why(cluster) is None, "it has caught up")


def test_a_replica_whose_directory_has_failed(make_cluster, tmp_path):
    cluster = make_cluster(SETTINGS, count=2)
    broken = by_id(cluster, 2)
    good, bad = broken.path / "good", broken.path / "bad"
    broken.stop()
    broken.settings["log.dirs"] = f"{good},{bad}"
    broken.start()
    for i in range(2):  # one in each directory
        make_topic(cluster, [[1, 2]], name=f"t{i}")
    hit, = {d.name[:-2] for d in bad.glob("t*-0")}
    broken.stop()
    shutil.rmtree(bad)
    bad.write_text("no directory")
    broken.start()
    wait_until(lambda: missing(cluster, hit).get(2, {}).get("reason") == "directory_offline",
               "the directory is told")
    assert "Missing: 2\tSince:" in klamm(cluster, "topic", "describe", hit, "--why")


def test_a_partition_without_a_leader_names_its_last_isr(make_cluster):
    cluster = make_cluster(SETTINGS)
    stays = controller_id(cluster)
    first, second = [b for b in cluster.brokers if b.id != stays]
    make_topic(cluster, [[first.id, second.id]])
    second.kill()
    wait_until(lambda: described(cluster, "t")[0].isrs == [first.id], "one has left the ISR")
    began = time.time()
    first.kill()
    wait_until(lambda: leaders(cluster) == {0: -1}, "nobody leads")
    second.start()
    wait_until(lambda: missing(cluster).get(second.id, {}).get("reason") == "not_in_isr",
               "the controller knows who is back")
    told = why(cluster)
    assert told["last_isr"] == [first.id] and told["unclean_election"] is False
    assert is_recent(told["offline_since"], began)
    assert missing(cluster)[first.id]["reason"] == "not_registered"
    text = klamm(cluster, "topic", "describe", "--unavailable-partitions", "--why")
    assert (f"Why: none of the last ISR {first.id} is there, and "
            "unclean.leader.election.enable=false") in text
    assert f"Missing: {second.id}\tWhy: is there, but was not in the last ISR" in text

    # The next controller knows it as well, from the ensemble.
    by_id(cluster, stays).kill()
    wait_until(lambda: (why(cluster) or {}).get("last_isr") == [first.id], "the next one tells")
    assert abs(seconds_of(why(cluster)["offline_since"]) - seconds_of(told["offline_since"])) <= 1


def test_the_cluster_command_names_what_is_wrong(make_cluster):
    cluster = make_cluster({**SETTINGS, "min.insync.replicas": 2})
    stays = controller_id(cluster)
    first, second = [b for b in cluster.brokers if b.id != stays]
    make_topic(cluster, [[stays, first.id]] * 25, name="pairs")
    make_topic(cluster, [[first.id]], name="alone")
    healthy = json.loads(klamm(cluster, "cluster", "--json"))
    assert (healthy["under_min_isr_partitions"], healthy["under_min_isr"]) == (0, [])
    first.kill()
    wait_until(lambda: json.loads(klamm(cluster, "cluster", "--json"))["under_min_isr_partitions"]
               == 25, "all are under min.insync.replicas")
    told = json.loads(klamm(cluster, "cluster", "--json"))
    assert told["offline_partitions"] == 1
    assert told["offline"] == [{"topic": "alone", "partition": 0}]
    assert told["under_replicated_partitions"] == 25
    assert {"topic": "pairs", "partition": 24} in told["under_replicated"]
    assert len(told["under_min_isr"]) == 25
    text = klamm(cluster, "cluster")
    assert "Offline partitions:\t1\n\talone-0\n" in text
    assert "Under-replicated partitions:\t25\n\tpairs-0\n" in text
    assert "Under min.insync.replicas:\t25\n" in text
    assert text.count("\tand 5 more\n") == 2


def test_a_leader_that_hangs_leaves_what_the_metadata_know(make_cluster):
    cluster = make_cluster({**STILL, "replica.lag.time.max.ms": 1000})
    leader = next(b for b in cluster.brokers if b.id != controller_id(cluster))
    dies = next(b for b in cluster.brokers if b.id not in (leader.id, controller_id(cluster)))
    make_topic(cluster, [[leader.id, dies.id]])
    dies.stop()
    wait_until(lambda: described(cluster, "t")[0].isrs == [leader.id], "it has left the ISR")
    leader.process.send(signal.SIGSTOP)
    text = klamm(cluster, "topic", "describe", "--why", "--timeout", 1000)
    leader.process.send(signal.SIGCONT)
    assert f"\t\tMissing: {dies.id}\tWhy: the broker is not registered\n" in text
