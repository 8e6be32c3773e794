"""klamm reassign and klamm topic elect-leaders against three and four brokers."""
import json

import pytest

from conftest import Cluster, wait_until
from test_cli import ok, refused
from test_replication import admin, described, end, isr_is, make_topic


@pytest.fixture
def three(tmp_path, zookeeper):
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}", config={
        "default.replication.factor": 3, "auto.leader.rebalance.enable": "false",
        "zookeeper.session.timeout.ms": 2000}).start()
    yield c
    end(c)


def outcomes(text):
    return {(p["topic"], p["partition"]): p["outcome"] for p in json.loads(text)}


def leaders(cluster, topic):
    return {n: p.leader for n, p in described(cluster, topic).items()}


def preferred(cluster, topic):
    return {n: p.replicas[0] for n, p in described(cluster, topic).items()}


# ---- elect-leaders ----

def test_preferred_replicas_lead_again_after_a_restart(three):
    topic = make_topic(three, partitions=6)
    first, second = three.brokers[0], three.brokers[1]
    first.restart()
    wait_until(lambda: isr_is(three, topic, {1, 2, 3}), "all are in sync again")
    lost = {n for n, p in described(three, topic).items() if p.leader != p.replicas[0]}
    assert lost == {n for n, id in preferred(three, topic).items() if id == 1} != set()
    one = min(lost)
    text = ok(second.klamm("topic", "elect-leaders", f"{topic}:{one}", "--json"))
    assert outcomes(text) == {(topic, one): "elected"}
    wait_until(lambda: leaders(three, topic)[one] == 1, "the one leads")
    text = ok(second.klamm("topic", "elect-leaders", topic, "--json"))
    assert outcomes(text) == {(topic, n): "elected" if n in lost - {one} else "not_needed"
                              for n in range(6)}
    wait_until(lambda: leaders(three, topic) == preferred(three, topic), "all lead")
    assert ok(second.klamm("topic", "elect-leaders", "--all-topic-partitions")) == \
        "No partition needs an election.\n"


def test_an_unclean_election_brings_a_partition_back(three):
    topic = make_topic(three, partitions=1, replicas=2)
    order = described(three, topic)[0].replicas
    brokers = {b.id: b for b in three.brokers}
    brokers[order[1]].stop()
    wait_until(lambda: isr_is(three, topic, {order[0]}), "the ISR shrinks")
    other = next(b for b in three.brokers if b.id not in order)
    brokers[order[0]].kill()
    brokers[order[1]].start()
    ask = lambda *args: other.klamm("topic", "elect-leaders", topic, *args)  # noqa: E731
    refused(ask(), f"{topic}-0", "preferred replica")
    wait_until(lambda: outcomes(ask("--election-type", "unclean", "--json").stdout) ==
               {(topic, 0): "elected"}, "it is elected")
    assert outcomes(ok(ask("--election-type", "unclean", "--json"))) == {(topic, 0): "not_needed"}


def test_what_cannot_be_elected_is_told(three):
    make_topic(three, partitions=1, replicas=1)
    k = three.brokers[0].klamm
    refused(k("topic", "elect-leaders"), "--all-topic-partitions", code=2)
    refused(k("topic", "elect-leaders", "t", "--election-type", "best"), "preferred or", code=2)
    refused(k("topic", "elect-leaders", "t:x"), "TOPIC:0,1,2", code=2)
    refused(k("topic", "elect-leaders", "nope"), "no topic 'nope'")
    refused(k("topic", "elect-leaders", "t:0,7"), "t-7")
    refused(k("topic", "elect-leaders", "t", "-b", "127.0.0.1:1"), "127.0.0.1:1",
            "Connection refused")


def test_brokers_are_asked_over_tls(make_broker, certificates, tmp_path):
    broker = make_broker(listeners="SSL://localhost:0", config={
        "security.inter.broker.protocol": "SSL", "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates / "broker.pem", "ssl.client.auth": "required",
        "ssl.truststore.type": "PEM", "ssl.truststore.location": certificates / "ca.pem"})
    broker.settings["listeners"] = f"SSL://localhost:{broker.port}"
    broker.start()
    client = tmp_path / "client.properties"
    lines = ["security.protocol=SSL", "ssl.truststore.type=PEM",
             f"ssl.truststore.location={certificates / 'ca.pem'}", "ssl.keystore.type=PEM",
             f"ssl.keystore.location={certificates / 'broker.pem'}"]
    client.write_text("\n".join(lines))
    there = ["-b", f"localhost:{broker.port}"]
    ok(broker.klamm("topic", "create", "t", "--command-config", client, *there))
    ask = ["topic", "elect-leaders", "t", *there]
    assert ok(broker.klamm(*ask, "--command-config", client)) == \
        "t-0: the preferred replica leads\n"
    client.write_text("\n".join(lines[:3]))
    refused(broker.klamm(*ask, "--command-config", client), "localhost")
    client.write_text("security.protocol=SSL\n")
    refused(broker.klamm(*ask, "--command-config", client), "TLS failed")
    refused(broker.klamm(*ask), "does it want TLS?")
