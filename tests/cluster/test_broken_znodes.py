"""Znodes that cannot be read, or come from a later version: what they speak of is left out or stays as
it was, the log names the path and what to do, and everything else is served."""
import json

import pytest
from confluent_kafka import Producer
from kazoo.client import KazooClient

from conftest import wait_until
from test_records import consume, create, produce

BROKEN = [b"{", b"", b'{"version":"x","partitions":7,"leader":"1","isr":{}}', b"\xff\xfe"]


def is_served(broker, topic, values=(b"v",)):
    produce(broker.bootstrap, topic, [("k", "v", None)])
    got = [m.value() for m in consume(broker.bootstrap, topic, 1, len(values) + 1)]
    assert got == [*values, b"v"]


def errors_of(broker, path):
    return [line for line in broker.errors() if f"path={path}" in line]


def epoch(zk):
    return int(zk.get("/controller_epoch")[0])


def names(broker):
    return set(Producer({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics)


@pytest.mark.parametrize("what", ["the topic", "the partition's state"])
def test_a_topic_that_cannot_be_read_is_left_out_until_it_is_mended(cluster, zk, what):
    broker = cluster.brokers[0]
    for topic in "good", "bad":
        create(broker.bootstrap, topic)
        produce(broker.bootstrap, topic, [("k", "v", None)])
    path = "/brokers/topics/bad" + ("" if what == "the topic" else "/partitions/0/state")
    whole = zk.get(path)[0]
    for i, broken in enumerate(BROKEN):
        zk.set(path, broken)
        if i == 0:
            is_served(broker, "bad")  # whoever has it keeps it
        before = epoch(zk)
        broker.restart()
        assert len(errors_of(broker, path)) > i
        is_served(broker, "good", [b"v"] * (i + 1))
        assert epoch(zk) == before + 1  # the controller did not stumble over it
    zk.set(path, whole)
    if what == "the topic":
        wait_until(lambda: "bad" in names(broker), "it is there again")
    else:
        assert "delete /controller" in errors_of(broker, path)[-1]
        zk.delete("/controller")
    wait_until(lambda: broker.metric("klamm_partitions_led") == 2, "it is led again")
    is_served(broker, "bad", [b"v", b"v"])


def test_what_a_later_version_wrote_is_read_as_far_as_it_is_known(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "v", None)])
    for path in ("/brokers/topics/t", "/brokers/topics/t/partitions/0/state", "/config/topics/t",
                 "/latest_producer_id_block"):
        node = json.loads(zk.get(path)[0])
        zk.set(path, json.dumps({**node, "version": 99, "unheard_of": {"a": [1]}}).encode())
    broker.restart()
    is_served(broker, "t")
    assert broker.errors() == []


def test_settings_that_cannot_be_read_leave_those_before(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t", 1, {"max.message.bytes": "2000"})
    whole = zk.get("/config/topics/t")[0]

    def limit():
        try:
            produce(broker.bootstrap, "t", [("k", "v" * 4000, None)])
            return "larger"
        except AssertionError as e:
            assert "MSG_SIZE_TOO_LARGE" in str(e)
            return 2000

    def change(entity, data):
        zk.set(f"/config/{entity}", data)
        zk.create("/config/changes/config_change_", json.dumps(
            {"version": 2, "entity_path": entity}).encode(), sequence=True)
    assert limit() == 2000
    zk.ensure_path("/config/brokers/<default>")
    for i, entity in enumerate(["topics/t", "brokers/<default>"]):
        for broken in b"{", b"[]", b'{"version":1,"config":{"max.message.bytes":7}}':
            count = len(errors_of(broker, f"/config/{entity}"))
            change(entity, broken)
            wait_until(lambda: len(errors_of(broker, f"/config/{entity}")) > count, "it is said")
            assert limit() == 2000
    zk.create("/config/changes/config_change_", b"no json", sequence=True)
    change("brokers/<default>", b'{"version":1,"config":{}}')
    change("topics/t", whole.replace(b"2000", b"9000"))
    wait_until(lambda: limit() == "larger", "mended settings hold")


def test_a_controller_that_cannot_be_read_is_named_and_nobody_takes_its_place(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t")
    produce(broker.bootstrap, "t", [("k", "v", None)])
    before = epoch(zk)
    zk.set("/controller", b"{")
    wait_until(lambda: errors_of(broker, "/controller"), "it is said")
    assert "delete /controller" in broker.errors()[-1]
    create(broker.bootstrap, "t2")  # the office is still held
    zk.delete("/controller")
    wait_until(lambda: epoch(zk) == before + 1 and broker.metric("klamm_active_controller") == 1,
               "there is an election")
    create(broker.bootstrap, "t3")
    # A node that no session takes along, and an epoch that is none.
    broker.stop()
    zk.create("/controller", b"nobody")
    zk.set("/controller_epoch", b"x")
    broker.start(wait=False)
    wait_until(lambda: len(errors_of(broker, "/controller")) == 2, "it is said again")
    zk.delete("/controller")
    zk.set("/controller_epoch", str(before + 5).encode())
    wait_until(broker.is_ready, "the broker is ready")
    wait_until(lambda: epoch(zk) == before + 6, "there is an election")
    is_served(broker, "t")
    assert len(broker.errors()) == 2


def test_a_registration_that_cannot_be_read_takes_its_broker_out_until_it_restarts(cluster3):
    zk = KazooClient(hosts=cluster3.zookeeper.connect + cluster3.chroot)
    zk.start(timeout=30)
    create(cluster3.bootstrap, "t", 3)
    controller = json.loads(zk.get("/controller")[0])["brokerid"]
    asked = cluster3.brokers[controller - 1]
    victim = next(b for b in cluster3.brokers if b is not asked)
    node = json.loads(zk.get(f"/brokers/ids/{victim.id}")[0])
    zk.set(f"/brokers/ids/{victim.id}", b"{")

    def alive():
        return set(Producer({"bootstrap.servers": asked.bootstrap}).list_topics(timeout=10).brokers)
    wait_until(lambda: alive() == {1, 2, 3} - {victim.id}, "it counts as gone")
    assert "mend the znode or restart the broker" in errors_of(asked, f"/brokers/ids/{victim.id}")[0]
    create(asked.bootstrap, "t2", 2)
    zk.set(f"/brokers/ids/{victim.id}", json.dumps({**node, "version": 99, "new": 1}).encode())
    wait_until(lambda: alive() == {1, 2, 3}, "mended, it is there again")
    zk.set(f"/brokers/ids/{victim.id}", b"{")
    wait_until(lambda: alive() == {1, 2, 3} - {victim.id}, "it counts as gone")
    victim.kill()
    victim.start()
    wait_until(lambda: alive() == {1, 2, 3}, "after a restart as well")
    zk.stop()
    zk.close()


def test_producer_ids_wait_for_a_block_that_can_be_read(cluster, zk):
    broker = cluster.brokers[0]
    create(broker.bootstrap, "t")
    whole = b'{"version":1,"broker":1,"block_start":"0","block_end":"999"}'
    zk.set("/latest_producer_id_block", b"{")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    producer.produce("t", b"v")
    wait_until(lambda: producer.poll(0) == 0 and errors_of(broker, "/latest_producer_id_block"),
               "it is said")
    # Asked again as often as the client asks, not in a circle.
    wait_until(lambda: producer.poll(0.1) == 0 and
               broker.metric('klamm_requests_total{api="InitProducerId"') > 1, "it asks again")
    assert len(errors_of(broker, "/latest_producer_id_block")) == 1
    zk.set("/latest_producer_id_block", whole)
    assert producer.flush(30) == 0
    assert json.loads(zk.get("/latest_producer_id_block")[0])["block_end"] == "1999"
