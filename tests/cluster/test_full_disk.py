"""A disk that is full under replication: it refuses appends while it is, and all is whole after."""
import subprocess

import pytest

from cluster_load import (Load, check_all, create_on, described_by, end, isr_is, make_topic_on,
                          wait_whole)
from conftest import Cluster, wait_until

DISK_MIB = 8


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def three(disk, tmp_path, zookeeper):
    """Broker 1 keeps its logs on the small disk."""
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "min.insync.replicas": 2, "replica.lag.time.max.ms": 3000,
        "zookeeper.session.timeout.ms": 2000, "replica.high.watermark.checkpoint.interval.ms": 200,
        "log.flush.offset.checkpoint.interval.ms": 200, "log.retention.check.interval.ms": 500,
        "auto.leader.rebalance.enable": "false", "log.segment.bytes": 1 << 20})
    c.brokers[0].data = disk / "data"
    c.brokers[0].settings["log.dirs"] = disk / "data"
    c.start()
    yield c
    end(c)


def fill(disk):
    """To the last byte. Returns what to remove to make room."""
    ballast = disk / "ballast"
    with open(ballast, "ab", buffering=0) as f:
        for size in 1 << 16, 1:
            try:
                while f.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    return ballast


def topic_led_by(cluster, leader):
    """One partition, whose replicas all brokers have."""
    rest = [b.id for b in cluster.brokers if b.id != leader]
    return make_topic_on(cluster, "t", [[leader, *rest]])


def held(load):
    wait_until(lambda: len(load.producer) >= 1000, "records wait")


def test_a_follower_whose_disk_is_full_leaves_the_isr_until_there_is_room(three, disk):
    topic = topic_led_by(three, 2)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(500)
    ballast = fill(disk)
    wait_until(lambda: isr_is(three, topic, {2, 3}), "it has left the ISR")
    load.wait_acked(500)
    # It says so once, not with each attempt.
    assert three.brokers[0].log().count("cannot append what the leader sent") == 1
    ballast.unlink()
    wait_whole(three, topic)
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def test_a_leader_whose_disk_is_full_refuses_until_there_is_room(three, disk):
    """Leaderships come and go meanwhile, and nothing goes offline for it."""
    topic = topic_led_by(three, 1)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(500)
    ballast = fill(disk)
    held(load)
    for broker in three.brokers[1:]:
        broker.kill()
        wait_until(lambda: broker.id not in described_by(three, broker, topic)[0].isrs, "it is out")
        broker.start()
        wait_whole(three, topic)
    # Started with a full disk it does not serve what it cannot recover; that comes with the room.
    full = three.brokers[0]
    full.restart()
    load.wait_acked(500)
    wait_until(lambda: isr_is(three, topic, {2, 3}), "the others go on")
    ballast.unlink()
    wait_whole(three, topic)
    load.wait_acked(500)
    check_all(three, topic, load)
    assert ["log cannot be loaded until there is room" in e for e in full.errors()] == [True]
    assert [b.errors() for b in three.brokers[1:]] == [[], []]


def test_new_replicas_that_found_no_room_come_when_there_is_some(three, disk):
    """One that others have as well, and one that is nowhere else: both without a restart."""
    ballast = fill(disk)
    create_on(three, "shared", [[1, 2, 3]])
    create_on(three, "alone", [[1]])
    full = three.brokers[0]
    wait_until(lambda: full.log().count("cannot carry out what the controller decided") >= 2,
               "it has refused them")
    wait_until(lambda: isr_is(three, "shared", {2, 3}), "the others have it")
    load = Load(three, "shared", pause_s=0.001)
    load.wait_acked(500)
    assert full.process.running() and "there is room again" not in full.log()
    ballast.unlink()
    wait_whole(three, "shared")
    load.wait_acked(500)
    check_all(three, "shared", load)
    alone = Load(three, "alone")
    alone.wait_acked(100)
    check_all(three, "alone", alone)
    assert [b.errors() for b in three.brokers[1:]] == [[], []]
