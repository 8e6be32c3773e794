#!/usr/bin/env python3
"""Measures three brokers behind one ZooKeeper: what replication, failover and many partitions cost.

usage: replication.py [--partitions N] [--rounds N] [--gb N] [WHAT...]      after make

  many        --partitions (10000) with three replicas: resident memory of each broker, MiB, the
              share of a core that an idle broker takes, and how long a scrape of /metrics takes, ms
  shutdown    controlled shutdown of a broker that leads a third of them, s
  controller  a new controller in office (its node is deleted), over a pipelined read of the znodes
  failover    from kill -9 of a leader to the next acknowledged record, ms, default settings
  latency     p99 of 5000 records of 1 KiB a second, acks=all, three replicas, ms
  follower    CPU seconds of a follower for each GB replicated, over those of a broker for each GB
              produced without replicas

They run in this order on one cluster; failover, latency and follower use topics of their own.
"""
import argparse
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kazoo.client import KazooClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from bench import TICK_S, cpu_seconds, wait_quiet  # noqa: E402
from conftest import BUILD, Cluster, ZooKeeper, wait_until  # noqa: E402

PER_REQUEST = 2000


def show(what, values, unit):
    values = list(values)
    print(f"{what:<52}{statistics.median(values):9.2f} {unit}"
          f"  ({min(values):.2f} to {max(values):.2f})", flush=True)


def topics(cluster):
    client = AdminClient({"bootstrap.servers": cluster.bootstrap})
    return client.list_topics(timeout=60).topics


def in_sync(cluster, name, partitions, replicas):
    found = topics(cluster)
    return name in found and [len(p.isrs) for p in found[name].partitions.values()] == (
        [replicas] * partitions)


def make_topic(cluster, name, partitions, replicas=3):
    client = AdminClient({"bootstrap.servers": cluster.bootstrap})
    client.create_topics([NewTopic(name, partitions, replicas)], operation_timeout=300,
                         request_timeout=300)[name].result(300)
    wait_until(lambda: in_sync(cluster, name, partitions, replicas), f"{name} is in sync", 300)


# ---- many partitions -----------------------------------------------------------------------------


def many(cluster, args):
    for i in range(0, args.partitions, PER_REQUEST):
        make_topic(cluster, f"many{i}", min(PER_REQUEST, args.partitions - i))
    for broker in cluster.brokers:
        wait_quiet_enough(broker)
    show("resident memory of a broker", [b.rss_kib() / 1024 for b in cluster.brokers], "MiB")
    before = [cpu_seconds(b.process.pid) for b in cluster.brokers]
    time.sleep(10)
    after = [cpu_seconds(b.process.pid) for b in cluster.brokers]
    show("idle, of a core", [(x - y) * 10 for x, y in zip(after, before)], "%")
    show("a scrape of /metrics", [scrape_ms(b) for b in cluster.brokers for _ in range(7)], "ms")


def scrape_ms(broker):
    began = time.perf_counter()
    assert broker.get("/metrics")[0] == 200
    return (time.perf_counter() - began) * 1000


def wait_quiet_enough(broker):
    """What creating them left to do is over: less than a tenth of a core."""
    def quiet():
        before = cpu_seconds(broker.process.pid)
        time.sleep(1)
        return cpu_seconds(broker.process.pid) - before <= 10 * TICK_S
    wait_until(quiet, "the broker is quiet", 300)


def shutdown(cluster, args):
    broker = cluster.brokers[-1]
    led = broker.metric("klamm_partitions_led")
    started = time.monotonic()
    broker.process.send(signal.SIGTERM)
    wait_until(lambda: "leaderships have moved" in broker.log(), "leaderships have moved", 120)
    moved = time.monotonic() - started
    broker.process.stop(timeout_s=120)
    show(f"controlled shutdown, {led:.0f} partitions led: moved", [moved], "s")
    show("    and stopped", [time.monotonic() - started], "s")
    broker.start()
    wait_until(lambda: all(in_sync(cluster, t, len(topics(cluster)[t].partitions), 3)
                           for t in topics(cluster)), "all is in sync again", 300)


# ---- the controller ------------------------------------------------------------------------------


def pipelined_read_ms(cluster):
    """All state znodes, asked for at once, by the same ensemble."""
    zk = KazooClient(hosts=cluster.zookeeper.connect + cluster.chroot)
    zk.start()
    started = time.monotonic()
    names = zk.get_children("/brokers/topics")
    values = [zk.get_async(f"/brokers/topics/{n}") for n in names]
    counts = {n: len(topic_partitions(v.get()[0])) for n, v in zip(names, values)}
    states = [zk.get_async(f"/brokers/topics/{n}/partitions/{p}/state")
              for n, count in counts.items() for p in range(count)]
    for state in states:
        state.get()
    took = (time.monotonic() - started) * 1000
    zk.stop()
    zk.close()
    return took


def topic_partitions(value):
    return re.findall(rb'"(\d+)":\s*\[', value.split(b'"partitions":', 1)[1].split(b"}")[0])


def controller(cluster, args):
    took, bare = [], []
    for _ in range(args.rounds):
        bare.append(pipelined_read_ms(cluster))
        marks = {b.id: len(b.log()) for b in cluster.brokers}
        zk = KazooClient(hosts=cluster.zookeeper.connect + cluster.chroot)
        zk.start()
        zk.delete("/controller")
        zk.stop()
        zk.close()
        line = wait_until(lambda: next(
            (m for b in cluster.brokers
             for m in [re.search(r"took the office.*took_ms=(\d+)", b.log()[marks[b.id]:])] if m),
            None), "somebody is in office", 120)
        took.append(int(line.group(1)))
    show("new controller in office", took, "ms")
    show("    over a pipelined read (Python) of the znodes", [a / b for a, b in zip(took, bare)],
         "x")


# ---- failover ------------------------------------------------------------------------------------


def failover(cluster, args):
    make_topic(cluster, "failover", 1)
    gaps = []
    for _ in range(args.rounds):
        acked = []
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all",
                             "linger.ms": 0, "enable.idempotence": True})

        def send():
            producer.produce("failover", b"x", on_delivery=lambda e, m: acked.append(
                time.monotonic()) if e is None else None)
            producer.poll(0.001)
        wait_until(lambda: send() or len(acked) > 200, "records are acknowledged")
        leader = topics(cluster)["failover"].partitions[0].leader
        victim = next(b for b in cluster.brokers if b.id == leader)
        killed = time.monotonic()
        victim.kill()
        wait_until(lambda: send() or any(t > killed + 0.02 for t in acked[-1:]),
                   "a record is acknowledged")
        gaps.append(1000 * (next(t for t in acked if t > killed + 0.02) - killed))
        assert producer.flush(30) == 0
        victim.start()
        wait_until(lambda: in_sync(cluster, "failover", 1, 3), "it is in sync again", 120)
    show("kill -9 of a leader to the next acknowledged record", gaps, "ms")


# ---- latency -------------------------------------------------------------------------------------

RECORDS_PER_S = 5000


def one_latency(cluster, idempotence):
    told = subprocess.run(
        [str(BUILD / "klamm"), "perf", "produce", "-b", cluster.bootstrap, "-t", "latency",
         "-n", str(10 * RECORDS_PER_S), "--throughput", str(RECORDS_PER_S), "--linger", "0",
         "--acks", "all", "-X", f"enable.idempotence={idempotence}", "--interval", "0", "--json"],
        check=True, capture_output=True, text=True).stdout
    return json.loads(told)["latency_ms"]


def latency(cluster, args):
    """
    Both kinds of producer, in turns. The thread of an idempotent librdkafka polls without a pause
    while five records of a partition are in flight and more wait: after any delay it takes a whole
    processor, which the brokers beside it then lack. So that line tells of the client as well.
    """
    make_topic(cluster, "latency", 3)
    plain, idempotent = [], []
    for _ in range(args.rounds):
        plain.append(one_latency(cluster, "false"))
        idempotent.append(one_latency(cluster, "true"))
    show("acks=all, 5000 records a second, three replicas: p50", [ms["p50"] for ms in plain], "ms")
    show("    p99", [ms["p99"] for ms in plain], "ms")
    show("    p99 of an idempotent librdkafka, which spins", [ms["p99"] for ms in idempotent], "ms")


# ---- following -----------------------------------------------------------------------------------


def produced_s_per_gb(cluster, args, topic, replicas):
    """CPU seconds for each GB of each broker while --gb are produced to a topic of these replicas."""
    client = AdminClient({"bootstrap.servers": cluster.bootstrap})
    client.create_topics([NewTopic(topic, 12, replica_assignment=[replicas] * 12)])[topic].result(60)
    wait_until(lambda: in_sync(cluster, topic, 12, len(replicas)), f"{topic} is in sync", 60)
    for broker in cluster.brokers:
        wait_quiet(broker)
    before = [cpu_seconds(b.process.pid) for b in cluster.brokers]
    subprocess.run([str(BUILD / "klamm"), "perf", "produce", "-b", cluster.bootstrap, "-t", topic,
                    "-n", str(int(args.gb * 1e9 / 1024)), "-s", "1024", "--acks", "1",
                    "--batch-size", "65536", "--interval", "0"], check=True, capture_output=True)
    for broker in cluster.brokers:
        wait_quiet(broker)
    after = [cpu_seconds(b.process.pid) for b in cluster.brokers]
    return {b.id: (y - x) / args.gb for b, x, y in zip(cluster.brokers, before, after)}


def follower(cluster, args):
    follows, both = [], []
    first, second = (b.id for b in cluster.brokers[:2])
    for i in range(args.rounds):
        alone = produced_s_per_gb(cluster, args, f"alone{i}", [first])[first]
        two = produced_s_per_gb(cluster, args, f"two{i}", [first, second])
        follows.append(two[second] / alone)
        both.append((two[first] + two[second] - alone) / alone)
    show("CPU of a follower over that of producing", follows, "x")
    show("    with what serving it costs its leader", both, "x")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gb", type=float, default=1)
    parser.add_argument("what", nargs="*")
    args = parser.parse_args()
    steps = [many, shutdown, controller, failover, latency, follower]
    path = Path(tempfile.mkdtemp(prefix="klamm-bench-"))
    cluster = Cluster(path, 3, zookeeper=ZooKeeper(path / "zookeeper", 3000))
    for broker in cluster.brokers:
        del broker.settings["zookeeper.session.timeout.ms"], broker.settings[
            "log.initial.task.delay.ms"]
    try:
        cluster.start()
        for step in steps:
            if not args.what or step.__name__ in args.what:
                step(cluster, args)
    finally:
        cluster.stop()
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
