"""A network that loses packets between brokers, and one that is gone for a broker."""
import pytest

from cluster_load import (Load, check_all, described_by, end, isr_is, leader_of, make_topic_on,
                          wait_whole)
from conftest import wait_until
from networks import Bridge, BridgedCluster

# A client, like the brokers, that gives a silent connection up before a test would.
IMPATIENT = {"request.timeout.ms": 3000, "socket.timeout.ms": 4000}


@pytest.fixture
def three(tmp_path):
    bridge = Bridge(3)
    c = BridgedCluster(tmp_path, bridge, {
        "min.insync.replicas": 2, "replica.lag.time.max.ms": 3000,
        "zookeeper.session.timeout.ms": 2000, "replica.socket.timeout.ms": 2000,
        "request.timeout.ms": 3000, "controller.socket.timeout.ms": 3000,
        "auto.leader.rebalance.enable": "false"})
    try:
        yield c.start()
    finally:
        end(c)
        c.stop()
        bridge.stop()


def test_records_survive_a_network_that_loses_packets(three):
    """The leader is gone for everybody and comes back; then one follower's packets to the leader are
    lost, and then what the leader sends to the ensemble."""
    topic = make_topic_on(three, "t", [[1, 2, 3]])
    load = Load(three, topic, 0.001, IMPATIENT)
    load.wait_acked(500)
    old = leader_of(three, topic)
    three.bridge.unplug(old.id)
    wait_until(lambda: described_by(three, old, topic)[0].leader not in (old.id, -1), "it is out")
    load.wait_acked(500)
    assert old.process.running()
    three.bridge.heal()
    wait_whole(three, topic)
    leader = leader_of(three, topic)
    follower = next(b for b in three.brokers if b is not leader)
    three.bridge.lose(follower.id, leader.host)
    wait_until(lambda: isr_is(three, topic, {1, 2, 3} - {follower.id}), "it has left the ISR")
    load.wait_acked(500)
    three.bridge.heal()
    wait_whole(three, topic)
    three.bridge.lose(leader.id, three.bridge.host)  # and to the clients, which are there too
    wait_until(lambda: described_by(three, leader, topic)[0].leader not in (leader.id, -1),
               "it is replaced")
    load.wait_acked(500)
    three.bridge.heal()
    wait_whole(three, topic)
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]
