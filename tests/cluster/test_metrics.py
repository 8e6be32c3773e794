"""What operators alarm on: each number is there from the start, and moves when it should."""
import signal

import pytest

from conftest import wait_until
from test_controller import (TOPIC_RESOURCE, UNBALANCED, allow_unclean, awake, by_id, come_back,
                             controller_id, described, leaders, make_cluster, make_topic)
from test_records import create, produce
from test_throttle import LEADER, throttle
from wire import Connection

__all__ = ["make_cluster"]

SETTINGS = {**UNBALANCED, "replica.lag.time.max.ms": 2000, "min.insync.replicas": 2}
PHASES = "queue", "local", "remote", "send"


def of_controller(cluster, name):
    return by_id(cluster, controller_id(cluster)).metric(name)


def total(cluster, name):
    return sum(b.metric(name) or 0 for b in awake(cluster))


def becomes(cluster, name, value, measure=total):
    wait_until(lambda: measure(cluster, name) == value, f"{name} is {value}", 60)


def test_all_that_is_alarmed_on_is_there_from_the_start(make_cluster):
    cluster = make_cluster()
    make_topic(cluster, [[1, 2, 3]])
    for name in ("klamm_offline_partitions", "klamm_under_replicated_partitions",
                 "klamm_under_min_isr_partitions", "klamm_at_min_isr_partitions",
                 "klamm_offline_replicas", "klamm_isr_shrinks_total", "klamm_isr_expands_total",
                 "klamm_leader_elections_total", "klamm_unclean_leader_elections_total",
                 "klamm_leader_election_seconds_count", "klamm_preferred_replica_imbalance",
                 "klamm_topics_to_delete"):
        assert {b.id: b.metric(name + " ") for b in cluster.brokers} == {1: 0, 2: 0, 3: 0}, name
    assert total(cluster, "klamm_active_controller ") == 1
    wait_until(lambda: [b.metric('klamm_fetcher_lag_max{leader="1"}') for b in cluster.brokers] ==
               [None, 0, 0], "followers have heard of their leader")


def test_a_dead_leader_is_counted_as_an_election_and_as_missing_replicas(make_cluster):
    cluster = make_cluster(SETTINGS)
    controller = controller_id(cluster)
    dies = next(b for b in cluster.brokers if b.id != controller)
    others = [b.id for b in cluster.brokers if b is not dies]
    make_topic(cluster, [[dies.id, *others]] * 3)
    becomes(cluster, "klamm_at_min_isr_partitions ", 0)
    dies.kill()
    becomes(cluster, "klamm_leader_elections_total ", 3)
    assert total(cluster, "klamm_leader_election_seconds_count ") >= 1
    assert 0 < total(cluster, "klamm_leader_election_seconds_sum ") < 30
    becomes(cluster, "klamm_under_replicated_partitions ", 3)
    becomes(cluster, "klamm_at_min_isr_partitions ", 3)
    becomes(cluster, "klamm_preferred_replica_imbalance ", 3)
    assert total(cluster, "klamm_unclean_leader_elections_total ") == 0
    assert total(cluster, "klamm_under_min_isr_partitions ") == 0
    come_back(cluster, dies)
    becomes(cluster, "klamm_under_replicated_partitions ", 0)
    becomes(cluster, "klamm_at_min_isr_partitions ", 0)


def test_partitions_without_a_leader_are_counted_until_they_have_one(make_cluster):
    cluster = make_cluster(SETTINGS)
    controller = controller_id(cluster)
    first, second = [b for b in cluster.brokers if b.id != controller]
    make_topic(cluster, [[first.id, second.id]] * 2)
    second.kill()
    becomes(cluster, "klamm_under_min_isr_partitions ", 2)
    first.kill()
    becomes(cluster, "klamm_offline_partitions ", 2)
    assert of_controller(cluster, "klamm_offline_partitions ") == 2
    second.start()
    wait_until(lambda: set(leaders(cluster).values()) == {-1}, "nobody leads")
    assert allow_unclean(cluster, TOPIC_RESOURCE, "t") is None
    becomes(cluster, "klamm_unclean_leader_elections_total ", 2)
    becomes(cluster, "klamm_offline_partitions ", 0)
    assert total(cluster, "klamm_leader_elections_total ") >= 2


def test_the_next_controller_counts_what_has_no_leader(make_cluster):
    cluster = make_cluster(SETTINGS)
    controller = by_id(cluster, controller_id(cluster))
    dies, stays = [b for b in cluster.brokers if b is not controller]
    make_topic(cluster, [[dies.id]])
    dies.kill()
    becomes(cluster, "klamm_offline_partitions ", 1)
    controller.kill()
    wait_until(lambda: stays.metric("klamm_active_controller ") == 1, "the other one is elected")
    becomes(cluster, "klamm_offline_partitions ", 1)


def test_a_follower_that_stands_still_shrinks_the_isr_and_lags_when_it_goes_on(make_cluster):
    cluster = make_cluster({**SETTINGS, "min.insync.replicas": 1, "klamm.supervisor.enable": "false",
                            "zookeeper.session.timeout.ms": 10000})
    controller = controller_id(cluster)
    follower = next(b for b in cluster.brokers if b.id != controller)
    make_topic(cluster, [[controller, follower.id]])
    throttle(cluster, [LEADER], 1, "*")  # so that the lag can be seen
    follower.process.send(signal.SIGSTOP)
    produce(by_id(cluster, controller).bootstrap, "t",
            [(None, "x" * 10000, None) for _ in range(1000)])
    assert described(cluster, "t")[0].isrs == [controller]
    becomes(cluster, "klamm_isr_shrinks_total ", 1)
    follower.process.send(signal.SIGCONT)
    lag = f'klamm_fetcher_lag_max{{leader="{controller}"}}'
    wait_until(lambda: (follower.metric(lag) or 0) > 0, "it lags")
    assert follower.metric(lag) <= 1000
    throttle(cluster, [LEADER], None, None)
    becomes(cluster, "klamm_isr_expands_total ", 1)
    wait_until(lambda: follower.metric(lag) == 0, "it has caught up")


def phases(broker, api, what="sum"):
    return {p: broker.metric(f'klamm_request_phase_seconds_{what}{{api="{api}",phase="{p}"}}')
            for p in PHASES}


def buckets(broker, api, phase):
    """(bound in seconds, how many took no longer) of a histogram."""
    series = f'klamm_request_phase_seconds_bucket{{api="{api}",phase="{phase}",le="'
    return [(float(line[len(series):].split('"')[0]), float(line.rsplit(" ", 1)[1]))
            for line in broker.get("/metrics")[1].splitlines() if line.startswith(series)]


def poll(connection, wait_ms):
    connection.call("Fetch", 12, {"ReplicaId": -1, "MaxWaitMs": wait_ms, "MinBytes": 1, "Topics": [
        {"Topic": "t", "Partitions": [{"Partition": 0, "PartitionMaxBytes": 1000}]}]})


def test_the_time_of_a_request_is_told_by_its_phases(standalone):
    create(standalone.bootstrap, "t")
    assert phases(standalone, "Fetch") == {p: None for p in PHASES}
    with Connection(standalone.port) as c:  # nothing comes: half a second of waiting
        poll(c, 500)
    after = phases(standalone, "Fetch")
    assert 0.4 < after["remote"] < 5
    assert 0 < after["local"] < after["remote"] / 2
    wait_until(lambda: (phases(standalone, "Fetch")["send"] or 0) > 0, "the answer was sent")
    # A worker looks at the directories: it has to be waited for, however shortly.
    with Connection(standalone.port) as c:
        for _ in range(100):
            c.call("DescribeLogDirs", 4, {"Topics": None})
    looked = phases(standalone, "DescribeLogDirs")
    assert looked["queue"] > 0 and looked["local"] > 0
    assert looked["remote"] is None  # nobody has waited
    seconds = standalone.metric('klamm_request_seconds_sum{api="DescribeLogDirs"}')
    assert looked["queue"] + looked["local"] == pytest.approx(seconds, rel=0.01)


def test_how_many_requests_took_how_long_is_told_for_each_phase(standalone):
    create(standalone.bootstrap, "t")
    with Connection(standalone.port) as c:
        for _ in range(9):
            poll(c, 0)
        poll(c, 700)
    wait_until(lambda: (phases(standalone, "Fetch", "count")["send"] or 0) == 10, "all were sent")
    # Nobody waits in a queue, and so far nobody asks how long.
    assert phases(standalone, "Fetch", "count") == {"queue": None, "local": 10, "remote": 10,
                                                    "send": 10}
    waited = buckets(standalone, "Fetch", "remote")
    assert [bound for bound, _ in waited] == sorted(bound for bound, _ in waited)
    assert waited[-1] == (float("inf"), 10)
    assert dict(waited)[0.262144] == 9  # one in ten has waited longer, the long one
    assert dict(waited)[0.524288] == 9
    assert dict(waited)[16.777216] == 10
