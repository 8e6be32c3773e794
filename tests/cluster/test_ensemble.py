"""Three brokers behind an ensemble of three: servers are lost, the leading one, and all at once."""
import signal
import time

import pytest

from cluster_load import (Load, check_all, described_by, end, leader_of, make_topic,
                          wait_whole)
from conftest import Cluster, Ensemble, kazoo_of, wait_until

SESSION_S = 4


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """The servers that a test stopped it has started again."""
    e = Ensemble(tmp_path_factory.mktemp("ensemble"))
    yield e
    e.stop(signal.SIGKILL)


@pytest.fixture
def three(tmp_path, ensemble):
    c = Cluster(tmp_path, 3, zookeeper=ensemble, chroot=f"/{tmp_path.name}", config={
        "min.insync.replicas": 2, "replica.lag.time.max.ms": 5000,
        "zookeeper.session.timeout.ms": SESSION_S * 1000}).start()
    yield c
    end(c)


@pytest.fixture
def zk(three):
    yield from kazoo_of(three)


def lives(zk):
    """The sessions that the brokers are registered with, and how often a controller was elected."""
    return ([zk.get(f"/brokers/ids/{i}")[1].owner_session_id for i in (1, 2, 3)],
            int(zk.get("/controller_epoch")[0]))


def connected(cluster):
    return all(b.metric("klamm_zookeeper_connected") == 1 for b in cluster.brokers)


def test_the_loss_of_a_server_ends_no_session(three, zk):
    """The leading one, while it elects a new leader, and then each in turn: whoever was connected to
    it goes to another with the same session. Nobody is elected, no ISR shrinks."""
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(500)
    before = lives(zk)
    ensemble = three.zookeeper
    leader = ensemble.leader()
    for server in [leader] + [s for s in ensemble.servers if s is not leader]:
        server.stop(signal.SIGKILL)
        wait_until(ensemble.leader, "there is a leader")
        wait_until(lambda: connected(three), "all brokers are connected")
        load.wait_acked(500)
        make_topic(three, f"made-without-{server.port}")
        server.start()
        wait_until(server.mode, "the server is back")
    assert lives(zk) == before
    assert [b.metric("klamm_isr_shrinks_total") for b in three.brokers] == [0, 0, 0]
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def test_brokers_serve_without_the_ensemble_and_go_on_when_it_is_back(three):
    """It is away for longer than a session, and a broker dies meanwhile: nobody can take its place
    then, and everything stands that needs it; after that all goes on."""
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(500)
    victim = leader_of(three, topic)
    three.zookeeper.stop(signal.SIGKILL)
    gone = time.monotonic()
    wait_until(lambda: not any(b.metric("klamm_zookeeper_connected") for b in three.brokers),
               "the brokers notice")
    while time.monotonic() < gone + SESSION_S * 1.5:
        load.wait_acked(500)
    victim.kill()
    three.zookeeper.start()
    wait_until(lambda: connected_but(three, victim), "the others are connected")
    wait_until(lambda: victim.id not in {
        p.leader for p in described_by(three, victim, topic).values()}, "it is replaced")
    load.wait_acked(1000)
    victim.start()
    wait_whole(three, topic)
    make_topic(three, "made-afterwards")
    check_all(three, topic, load)
    assert [b.errors() for b in three.brokers] == [[], [], []]


def connected_but(cluster, victim):
    return all(b.metric("klamm_zookeeper_connected") == 1 for b in cluster.brokers if b is not victim)


def test_brokers_stop_in_order_while_the_ensemble_is_away(three):
    """Soon, and without a hand-over, since no controller could write one; nothing has to be
    recovered, and nothing is lost."""
    topic = make_topic(three)
    load = Load(three, topic, pause_s=0.001)
    load.wait_acked(500)
    three.zookeeper.stop(signal.SIGKILL)
    load.wait_acked(500)
    for broker in three.brokers:
        broker.process.send(signal.SIGTERM)
    for broker in three.brokers:
        wait_until(lambda: not broker.process.running(), "it has stopped", 10)
        assert broker.process.stop() == 0
        assert "stopping without handing leaderships over: the ensemble is away" in broker.log()
        assert (broker.data / ".kafka_cleanshutdown").exists()
    three.zookeeper.start()
    three.start()
    wait_whole(three, topic)
    load.wait_acked(500)
    check_all(three, topic, load)
