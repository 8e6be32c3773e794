#!/usr/bin/env python3
"""Measures what groups cost klammd: memory, loading, commits, and a rolling restart.

usage: groups.py [--groups N] [--records N] [--members N] [WHAT ...]      after make

  memory    KiB of resident memory for each of N groups that have committed one partition, as they
            were made and as they were loaded
  load      seconds to load a partition of __consumer_offsets with N records of those groups, each a
            batch of its own as a commit of one partition makes it
  commits   commits and requests per CPU second of the broker, by partitions in a request, 64
            requests under way on each of 4 connections
  rolling   N consumers (librdkafka) that leave and come back one after the other: seconds until the
            group is stable again with all of them; any error of a member fails it
"""
import argparse
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from bench import cpu_seconds, wait_quiet  # noqa: E402
from confluent_kafka import Consumer  # noqa: E402
from conftest import Broker, wait_until  # noqa: E402
import wire  # noqa: E402

SETTINGS = {"offsets.topic.num.partitions": 1, "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.enable": "false", "offsets.topic.segment.bytes": 1 << 30,
            "group.min.session.timeout.ms": 1000}
PIPELINED = 64


def frame(name, version, values):
    api = wire.BY_NAME[name]
    header = {"RequestApiKey": api.key, "RequestApiVersion": version, "CorrelationId": 7,
              "ClientId": "bench"}
    data = wire.encode(wire.HEADERS["RequestHeader"], 2 if api.flexible(version) else 1, header)
    data += wire.encode(api.request, version, values)
    return struct.pack(">i", len(data)) + data


def commit_frame(group, partitions, offset=1):
    return frame("OffsetCommit", 8, {"GroupId": group, "Topics": [
        {"Name": "t", "Partitions": [{"PartitionIndex": p, "CommittedOffset": offset,
                                      "CommittedMetadata": ""} for p in partitions]}]})


class Pipeline:
    """A connection on which requests are sent without waiting for each answer."""

    def __init__(self, broker):
        self.socket = socket.create_connection(("127.0.0.1", broker.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.errors = 0

    def take(self, count):
        """Receives so many answers; one whose error is not 0 is counted."""
        data = b""
        while count > 0:
            data += self.socket.recv(1 << 20)
            while len(data) >= 4:
                size = 4 + struct.unpack_from(">i", data)[0]
                if len(data) < size:
                    break
                answer = wire.decode_struct(wire.BY_NAME["OffsetCommit"].response.root,
                                            wire.Reader(data[9:size]), 8, True) \
                    if self.errors == 0 and count == 1 else None
                if answer:
                    self.errors += any(p["ErrorCode"] for t in answer["Topics"]
                                       for p in t["Partitions"])
                data = data[size:]
                count -= 1

    def send(self, frames):
        for at in range(0, len(frames), PIPELINED):
            some = frames[at:at + PIPELINED]
            self.socket.sendall(b"".join(some))
            self.take(len(some))
        assert self.errors == 0, "a commit was refused"


def start(folder, name, **config):
    broker = Broker(folder / name, config={**SETTINGS, **config}).start()
    done = broker.klamm("topic", "create", "t", "--partitions", 100)
    assert done.returncode == 0, done.stderr
    with wire.Connection(broker.port) as c:
        wait_until(lambda: c.call("FindCoordinator", 1, {"Key": "g"})["ErrorCode"] == 0 and
                   c.call("OffsetFetch", 5, {"GroupId": "g", "Topics": []})["ErrorCode"] == 0,
                   "the partition of groups is loaded")
    return broker


def measure_memory(args, folder):
    broker = start(folder, "memory")
    empty = broker.rss_kib()
    Pipeline(broker).send([commit_frame(f"group-{i:06}", [0]) for i in range(args.groups)])
    made = (broker.rss_kib() - empty) / args.groups
    broker.restart()
    wait_until(lambda: broker.metric("klamm_group_load_seconds_count") == 1, "groups are loaded")
    wait_quiet(broker)
    loaded = (broker.rss_kib() - empty) / args.groups
    print(f"memory of a group: {made:.2f} KiB made, {loaded:.2f} KiB loaded", flush=True)
    broker.kill()


def measure_load(args, folder):
    broker = start(folder, "load")
    frames = [commit_frame(f"group-{i:06}", [0]) for i in range(args.groups)]
    connection = Pipeline(broker)
    for _ in range(args.records // args.groups):
        connection.send(frames)
    for _ in range(3):
        broker.restart()
        wait_until(lambda: broker.metric("klamm_group_load_seconds_count") == 1,
                   "groups are loaded", 120)
        wait_quiet(broker)
        took, cpu = broker.metric("klamm_group_load_seconds_sum"), cpu_seconds(broker.process.pid)
        said = re.findall(r"groups are loaded .*groups=(\d+) records=(\d+)", broker.log())[-1]
        print(f"load: {took:.2f} s for {said[1]} records of {said[0]} groups, "
              f"{took / int(said[1]) * 1e6:.2f} s a million; the start took {cpu:.2f} CPU s",
              flush=True)
    broker.kill()


def measure_commits(args, folder):
    broker = start(folder, "commits")
    for partitions in (1, 10, 100):
        requests = max(args.commits // partitions, 1000) // 4
        def load(n):
            frames = [commit_frame(f"group-{n}-{i % 100}", range(partitions))
                      for i in range(100)]
            connection = Pipeline(broker)
            for _ in range(requests // 100):
                connection.send(frames)
        wait_quiet(broker)
        before, cpu = broker.metric("klamm_offset_commits_total"), cpu_seconds(broker.process.pid)
        threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        cpu = cpu_seconds(broker.process.pid) - cpu
        commits = broker.metric("klamm_offset_commits_total") - before
        print(f"commits, {partitions} in a request: {commits / cpu:.0f} offsets and "
              f"{commits / partitions / cpu:.0f} requests per CPU second", flush=True)
    broker.kill()


class Member:
    def __init__(self, broker, failed):
        self.consumer = Consumer({
            "bootstrap.servers": broker.bootstrap, "group.id": "rolling",
            "session.timeout.ms": 30000, "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": "cooperative-sticky",
            "error_cb": lambda e: failed.append(str(e))})
        self.consumer.subscribe(["t"])

    def poll(self, failed):
        message = self.consumer.poll(0)
        if message is not None and message.error():
            failed.append(str(message.error()))


def measure_rolling(args, folder):
    broker = start(folder, "rolling")
    failed = []
    members = [Member(broker, failed) for _ in range(args.members)]

    def stable():
        for m in members:
            m.poll(failed)
        owned = [p.partition for m in members for p in m.consumer.assignment()]
        if sorted(owned) != list(range(100)):
            return False
        with wire.Connection(broker.port) as c:
            (g,) = c.call("DescribeGroups", 4, {"Groups": ["rolling"]})["Groups"]
        return g["GroupState"] == "Stable" and len(g["Members"]) == args.members

    def polled(i):
        for m in members:
            m.poll(failed)
        return members[i].consumer.assignment()

    wait_until(stable, "all members are there", 120)
    begun, cpu = time.monotonic(), cpu_seconds(broker.process.pid)
    before = broker.metric("klamm_group_rebalances_total")
    for i in range(args.members):
        members[i].consumer.close()
        members[i] = Member(broker, failed)
        wait_until(lambda: polled(i), "the member is back", 120)
    wait_until(stable, "all members are there again", 300)
    print(f"rolling: {args.members} members stable after {time.monotonic() - begun:.1f} s, "
          f"{broker.metric('klamm_group_rebalances_total') - before:.0f} rebalances, "
          f"{cpu_seconds(broker.process.pid) - cpu:.2f} CPU s, {len(failed)} errors", flush=True)
    for m in members:
        m.consumer.close()
    broker.kill()
    assert not failed, failed[:5]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=20000)
    parser.add_argument("--records", type=int, default=1000000)
    parser.add_argument("--commits", type=int, default=400000)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("what", nargs="*", default=["memory", "load", "commits", "rolling"])
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="klamm-bench-"))
    try:
        for what in args.what:
            globals()[f"measure_{what}"](args, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
