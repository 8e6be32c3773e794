"""Replication throttles: a new replica is copied at the rate, everything else at full speed."""
import time

import pytest
from confluent_kafka import Producer

from conftest import wait_until
from test_controller import (BROKER_RESOURCE, TOPIC_RESOURCE, ask_controller, by_id, described,
                             make_cluster, make_topic, no_errors, reassign)
from wire import Connection

__all__ = ["make_cluster"]

NONE, INVALID_CONFIG = 0, 40
SET, DELETE = 0, 1
RATE, BATCH_MAX = 1_000_000, 1_048_576  # one answer carries at most replica.fetch.max.bytes
RECORD = b"x" * 50_000
LEADER, FOLLOWER = "leader", "follower"
ROLES = [[LEADER], [FOLLOWER], [LEADER, FOLLOWER]]


def alter(cluster, kind, name, settings):
    """settings: {key: value, None to delete}."""
    answer = ask_controller(cluster, "IncrementalAlterConfigs", 1, {"Resources": [
        {"ResourceType": kind, "ResourceName": name, "Configs": [
            {"Name": k, "ConfigOperation": DELETE if v is None else SET, "Value": v}
            for k, v in settings.items()]}]})
    return answer["Responses"][0]["ErrorCode"]


def throttle(cluster, roles, rate, replicas, topic="t"):
    """For all brokers, and for the replicas of a topic; None ends it."""
    rate = None if rate is None else str(rate)
    assert alter(cluster, BROKER_RESOURCE, "",
                 {f"{r}.replication.throttled.rate": rate for r in roles}) == NONE
    assert alter(cluster, TOPIC_RESOURCE, topic,
                 {f"{r}.replication.throttled.replicas": replicas for r in roles}) == NONE
    for broker in cluster.brokers:
        wait_until(lambda: known_rates(broker, roles) == {rate}, f"broker {broker.id} knows")


def known_rates(broker, roles):
    keys = [f"{r}.replication.throttled.rate" for r in roles]
    with Connection(broker.port) as c:
        answer = c.call("DescribeConfigs", 4, {"Resources": [
            {"ResourceType": BROKER_RESOURCE, "ResourceName": str(broker.id),
             "ConfigurationKeys": keys}]})
    got = {e["Name"]: e["Value"] for e in answer["Results"][0]["Configs"]}
    return {got.get(key) for key in keys}


def fill(cluster, megabytes, topic="t"):
    """Seconds that it took until all was acknowledged by all in sync."""
    began = time.monotonic()
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "linger.ms": 5,
                         "enable.idempotence": True})
    failures = []
    for _ in range(megabytes * 1_000_000 // len(RECORD)):
        producer.produce(topic, RECORD, partition=0,
                         on_delivery=lambda e, m: failures.append(e) if e else None)
        producer.poll(0)
    assert producer.flush(60) == 0 and failures == []
    return time.monotonic() - began


def size_at(cluster, broker_id, topic="t"):
    directory = by_id(cluster, broker_id).data / f"{topic}-0"
    return sum(f.stat().st_size for f in directory.glob("*.log"))


def isr(cluster, topic="t"):
    return set(described(cluster, topic)[0].isrs)


def metric(cluster, name, role):
    return {b.id: b.metric(f'{name}{{role="{role}"}}') or 0 for b in cluster.brokers}


def assert_copies_at_the_rate(cluster, new, seconds, topic="t"):
    """From now on, until so many seconds have passed: never more than allowed, never stuck."""
    began, before = time.monotonic(), size_at(cluster, new, topic)

    def look():
        size, elapsed = size_at(cluster, new, topic), time.monotonic() - began
        assert size <= RATE * (elapsed + 2) + 2 * BATCH_MAX, f"{size} bytes after {elapsed} s"
        return elapsed > seconds

    wait_until(look, "the time is over", seconds + 30)
    assert size_at(cluster, new, topic) >= before + RATE * seconds / 4
    assert new not in isr(cluster, topic)


@pytest.mark.parametrize("roles", ROLES, ids="-and-".join)
def test_a_new_replica_is_copied_at_the_rate_until_the_throttle_is_removed(make_cluster, roles):
    cluster = make_cluster()
    make_topic(cluster, [[1, 2]])
    fill(cluster, 40)
    throttle(cluster, roles, RATE, "*")
    assert reassign(cluster, {0: [1, 2, 3]}) == {0: NONE}
    wait_until(lambda: size_at(cluster, 3) > 0, "the copy has begun")
    assert_copies_at_the_rate(cluster, 3, 6)
    for role in roles:
        moved = metric(cluster, "klamm_replication_throttled_bytes_total", role)
        assert moved[1 if role == LEADER else 3] >= size_at(cluster, 3) - 2 * BATCH_MAX
    assert any(metric(cluster, "klamm_replication_held_back_total", r)[1 if r == LEADER else 3] > 0
               for r in roles)

    left = 40_000_000 - size_at(cluster, 3)
    began = time.monotonic()
    throttle(cluster, roles, None, None)
    wait_until(lambda: isr(cluster) == {1, 2, 3}, "the new replica is in sync", 60)
    assert time.monotonic() - began < left / RATE / 2
    no_errors(cluster)


def test_replicas_in_sync_and_clients_are_not_held_back(make_cluster):
    cluster = make_cluster()
    make_topic(cluster, [[1, 2]])
    fill(cluster, 20)
    throttle(cluster, ROLES[-1], RATE, "*")
    assert reassign(cluster, {0: [1, 2, 3]}) == {0: NONE}
    wait_until(lambda: size_at(cluster, 3) > 0, "the copy has begun")
    seconds = fill(cluster, 20)
    assert seconds < 20_000_000 / RATE / 2
    assert isr(cluster) == {1, 2} and size_at(cluster, 2) == size_at(cluster, 1)
    # What replicas in sync have taken counts as well: the copy pays for it.
    assert size_at(cluster, 3) < 20_000_000
    throttle(cluster, ROLES[-1], None, None)
    wait_until(lambda: isr(cluster) == {1, 2, 3}, "the new replica is in sync", 60)
    no_errors(cluster)


def test_only_the_replicas_that_are_listed_are_held_back(make_cluster):
    cluster = make_cluster()
    make_topic(cluster, [[1, 2], [1, 2]])
    fill(cluster, 20)
    fill_other = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all"})
    for _ in range(200):
        fill_other.produce("t", RECORD, partition=1)
    assert fill_other.flush(60) == 0
    throttle(cluster, [LEADER, FOLLOWER], 10_000, "0:1,0:3")
    assert reassign(cluster, {0: [1, 2, 3], 1: [1, 2, 3]}) == {0: NONE, 1: NONE}
    wait_until(lambda: set(described(cluster, "t")[1].isrs) == {1, 2, 3}, "the other is copied")
    assert isr(cluster) == {1, 2}
    assert size_at(cluster, 3) < 20_000_000
    throttle(cluster, [LEADER, FOLLOWER], None, None)
    wait_until(lambda: isr(cluster) == {1, 2, 3}, "the listed one is copied", 60)
    no_errors(cluster)


def test_a_list_that_is_none_is_refused(make_cluster):
    cluster = make_cluster(count=1)
    make_topic(cluster, [[1]])
    for role in ROLES[-1]:
        key = f"{role}.replication.throttled.replicas"
        for good in "*", "0:1", "0:1,1:2", "":
            assert alter(cluster, TOPIC_RESOURCE, "t", {key: good}) == NONE
        for bad in "0", "a:1", "*,0:1":
            assert alter(cluster, TOPIC_RESOURCE, "t", {key: bad}) == INVALID_CONFIG
