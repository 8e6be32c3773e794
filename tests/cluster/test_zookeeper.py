"""The other half: znodes as Kafka writes them, and an ensemble that is late, away, or forgets us."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from kazoo.client import KazooClient

from confluent_kafka.admin import AdminClient

from conftest import BUILD, Broker, Cluster, ZooKeeper, free_port, wait_until
from test_records import consume, create, produce


def get_json(zk, path):
    return json.loads(zk.get(path)[0])


def test_the_znodes_are_kafkas(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "orders", 2, {"retention.ms": "1000000"})
    cluster_id = get_json(zk, "/cluster/id")
    assert cluster_id["version"] == "1" and re.fullmatch(r"[\w-]{22}", cluster_id["id"])
    registration = get_json(zk, "/brokers/ids/1")
    assert registration.pop("timestamp").isdigit()
    assert registration == {
        "version": 5, "host": "127.0.0.1", "port": broker.port,
        "endpoints": [f"PLAINTEXT://127.0.0.1:{broker.port}"],
        "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
        "features": {}, "jmx_port": -1}
    assert zk.get("/brokers/ids/1")[1].owner_session_id != 0
    controller = get_json(zk, "/controller")
    assert controller.pop("timestamp").isdigit()
    assert controller == {"version": 2, "brokerid": 1, "kraftControllerEpoch": -1}
    assert zk.get("/controller_epoch")[0] == b"1"
    topic = get_json(zk, "/brokers/topics/orders")
    assert re.fullmatch(r"[\w-]{22}", topic.pop("topic_id"))
    assert topic == {"version": 3, "partitions": {"0": [1], "1": [1]},
                     "adding_replicas": {}, "removing_replicas": {}}
    assert get_json(zk, "/config/topics/orders") == {
        "version": 1, "config": {"retention.ms": "1000000"}}
    assert get_json(zk, "/brokers/topics/orders/partitions/1/state") == {
        "version": 1, "leader": 1, "leader_epoch": 0, "controller_epoch": 1, "isr": [1]}
    assert get_json(zk, "/feature") == {"version": 2, "status": 1, "features": {}}
    for path in ("/consumers", "/admin/delete_topics", "/config/changes", "/config/users",
                 "/config/ips", "/isr_change_notification", "/log_dir_event_notification"):
        assert zk.exists(path)


def test_a_producer_id_block_is_claimed(cluster, zk):
    create(cluster.bootstrap, "t")
    produce(cluster.bootstrap, "t", [("k", "v", None)])
    assert get_json(zk, "/latest_producer_id_block") == {
        "version": 1, "broker": 1, "block_start": "0", "block_end": "999"}


def test_a_topic_whose_znodes_someone_else_wrote_is_served(cluster, zk):
    zk.create("/config/topics/foreign", b'{"version":1,"config":{}}')
    zk.create("/brokers/topics/foreign",
              b'{"version":1,"partitions":{"0":[1],"1":[1],"2":[1]}}')
    wait_until(lambda: zk.exists("/brokers/topics/foreign/partitions/2/state"), "its states")
    produce(cluster.bootstrap, "foreign", [(str(i), "v", None) for i in range(100)])
    assert len(consume(cluster.bootstrap, "foreign", 3, 100)) == 100
    assert "topic_id" in get_json(zk, "/brokers/topics/foreign")


def test_a_deleted_topic_leaves_nothing_and_its_name_can_be_used_again(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t", 3)
    produce(broker.bootstrap, "t", [(str(i), "v", None) for i in range(100)])
    zk.create("/admin/delete_topics/t")
    for path in ("/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t"):
        wait_until(lambda: not zk.exists(path), f"{path} is gone")
    wait_until(lambda: not [d for d in os.listdir(broker.data) if re.fullmatch(r"t-\d", d)],
               "the directories are renamed")
    create(broker.bootstrap, "t", 1)
    produce(broker.bootstrap, "t", [("k", "new", None)])
    assert [m.value() for m in consume(broker.bootstrap, "t", 1, 1)] == [b"new"]


def test_settings_written_to_the_ensemble_take_effect(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t")
    zk.set("/config/topics/t", b'{"version":1,"config":{"max.message.bytes":"500"}}')
    zk.create("/config/changes/config_change_", b'{"version":2,"entity_path":"topics/t"}',
              sequence=True)

    def refused():
        try:
            produce(broker.bootstrap, "t", [("k", "v" * 1000, None)])
            return False
        except AssertionError as e:
            return "MSG_SIZE_TOO_LARGE" in str(e)

    wait_until(refused, "the smaller limit")


def test_a_generated_broker_id_lies_above_the_reserved_ones(tmp_path, zookeeper):
    broker = Broker(tmp_path / "b", zookeeper=f"{zookeeper.connect}/{tmp_path.name}")
    del broker.settings["broker.id"]
    broker.start()
    assert "broker.id=1001" in (broker.data / "meta.properties").read_text()
    broker.restart()
    assert "started broker=1001" in broker.log()
    broker.stop()


def test_a_second_broker_with_the_same_id_is_refused(cluster, tmp_path):
    other = Broker(tmp_path / "other", 1, cluster.zookeeper.connect + cluster.chroot)
    done = subprocess.run([str(BUILD / "klammd"), str(other.write_config())], timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "another broker with this id" in done.stderr


def test_a_broker_that_is_refused_ends_while_its_logs_are_loaded(cluster, tmp_path):
    """Logs tell of themselves to replicas that have gone already."""
    other = Broker(tmp_path / "other", 1, cluster.zookeeper.connect + cluster.chroot)
    for number in range(500):
        (other.data / f"t-{number}").mkdir(parents=True)
    for _ in range(10):
        done = subprocess.run([str(BUILD / "klammd"), str(other.write_config())], timeout=60,
                              capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert "another broker with this id" in done.stderr


def test_a_data_directory_of_another_cluster_is_refused(cluster, tmp_path):
    broker = cluster.brokers[0]
    broker.stop()
    broker.settings["zookeeper.connect"] += "/elsewhere"
    done = subprocess.run([str(BUILD / "klammd"), str(broker.write_config())], timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "another cluster" in done.stderr


def test_an_absent_ensemble_is_waited_for_and_then_named(tmp_path):
    broker = Broker(tmp_path / "b", 1, f"127.0.0.1:{free_port()}",
                    {"zookeeper.connection.timeout.ms": 1500})
    done = subprocess.run([str(BUILD / "klammd"), str(broker.write_config())], timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 1
    errors = [l for l in done.stderr.splitlines() if " ERROR " in l]
    assert len(errors) == 1 and "zookeeper.connect" in errors[0]


def test_a_killed_broker_comes_back_at_once(cluster, zk):
    """Its former session is ended by the new life, not waited for."""
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "1", None)])
    owner = zk.get("/brokers/ids/1")[1].owner_session_id
    broker.kill()
    started = time.monotonic()
    broker.start()
    assert time.monotonic() - started < 5
    assert zk.get("/brokers/ids/1")[1].owner_session_id != owner
    produce(broker.bootstrap, "t", [("k", "2", None)])
    assert [m.value() for m in consume(broker.bootstrap, "t", 1, 2)] == [b"1", b"2"]


@pytest.fixture
def own_zookeeper(tmp_path):
    """A cluster of one broker whose ZooKeeper the test may stop."""
    c = Cluster(tmp_path, 1).start()
    yield c
    c.stop()


def test_a_broker_serves_while_the_ensemble_is_away(own_zookeeper):
    c = own_zookeeper
    broker = c.brokers[0]
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "v", None)])  # a block of producer ids is at hand
    c.zookeeper.stop(signal.SIGKILL)
    wait_until(lambda: "lost the connection" in broker.log(), "the broker notices")
    produce(broker.bootstrap, "t", [(str(i), "v", None) for i in range(1000)])
    assert len(consume(broker.bootstrap, "t", 1, 1001)) == 1001
    c.zookeeper.start()
    wait_until(lambda: broker.metric("klamm_zookeeper_connected") == 1, "the connection is back")
    create(broker.bootstrap, "t2")
    assert broker.process.running()


def test_an_expired_session_is_followed_by_a_new_registration(own_zookeeper):
    c = own_zookeeper
    broker = c.brokers[0]
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "1", None)])
    os.kill(broker.process.pid, signal.SIGSTOP)
    zk = KazooClient(hosts=c.zookeeper.connect)
    zk.start(timeout=30)
    epoch = zk.get("/brokers/ids/1")[1].czxid
    wait_until(lambda: not zk.exists("/brokers/ids/1"), "the session expires", 30)
    os.kill(broker.process.pid, signal.SIGCONT)
    wait_until(lambda: zk.exists("/brokers/ids/1"), "the broker registers again", 30)
    assert zk.get("/brokers/ids/1")[1].czxid > epoch
    wait_until(lambda: zk.exists("/controller"), "it is the controller again", 30)
    assert zk.get("/controller_epoch")[0] == b"2"
    produce(broker.bootstrap, "t", [("k", "2", None)])
    assert len(consume(broker.bootstrap, "t", 1, 2)) == 2
    create(broker.bootstrap, "t2")
    zk.stop()
    zk.close()


def test_three_brokers_share_topics_and_elect_another_controller(cluster3):
    zk = KazooClient(hosts=cluster3.zookeeper.connect + cluster3.chroot)
    zk.start(timeout=30)
    create(cluster3.bootstrap, "t", 9)
    produce(cluster3.bootstrap, "t", [(str(i), "v", None) for i in range(900)])
    assert len(consume(cluster3.bootstrap, "t", 9, 900)) == 900
    leaders = [get_json(zk, f"/brokers/topics/t/partitions/{p}/state")["leader"] for p in range(9)]
    assert {leaders.count(i) for i in (1, 2, 3)} == {3}
    first = get_json(zk, "/controller")["brokerid"]
    cluster3.brokers[first - 1].stop()
    wait_until(lambda: zk.exists("/controller") and
               get_json(zk, "/controller")["brokerid"] != first, "another controller")
    rest = [b for b in cluster3.brokers if b.id != first]
    for broker in rest:
        wait_until(lambda: AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(
            timeout=10).controller_id not in (-1, first), "the broker knows the controller")
    create(",".join(b.bootstrap for b in rest), "t2", 4)
    cluster3.brokers[first - 1].start()
    wait_until(lambda: all(get_json(zk, f"/brokers/topics/t/partitions/{p}/state")["leader"] > 0
                           for p in range(9)), "all partitions are led again")
    assert len(consume(cluster3.bootstrap, "t", 9, 900)) == 900
    zk.stop()
    zk.close()
