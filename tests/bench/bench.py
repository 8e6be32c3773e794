#!/usr/bin/env python3
"""Measures klammd against what the machine cannot do without, interleaved, as ratios.

usage: bench.py [--rounds N] [--gb N] [--client PATH]      after make and make tests/bench/floor

  produce   broker CPU seconds per GB produced (1 KiB records, 64 KiB batches, acks=1, 12
            partitions) over those of a bare receive + CRC-32C + write loop
  fetch     broker CPU seconds per GB fetched from the page cache over a bare sendfile loop
  idle      resident memory of an idle broker, MiB
  start     from exec to serving, ms, empty, without an ensemble
  idle connection   KiB of resident memory for each of 1000 idle plaintext connections

The client is rdkafka_performance (--client), or `klamm perf`.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from conftest import BUILD, Broker, wait_until  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def floor(kind, gb, folder):
    out = subprocess.run([str(BUILD / "tests/bench/floor"), kind, str(int(gb * 1e9)),
                          str(folder / "floor")], check=True, capture_output=True, text=True)
    (folder / "floor").unlink()
    return float(out.stdout)


def run_client(args, client, broker, kind, records):
    if client:
        base = [client, "-b", broker.bootstrap, "-t", "bench"]
        if kind == "produce":
            base += ["-P", "-s", "1024", "-c", str(records), "-a", "1", "-X",
                     "batch.size=65536", "-X", "linger.ms=50", "-X",
                     "queue.buffering.max.kbytes=262144", "-q"]
        else:
            base += ["-C", "-o", "beginning", "-c", str(records), "-q", "-X",
                     "fetch.message.max.bytes=1048576"]
            base += sum((["-p", str(p)] for p in range(args.partitions)), [])
    else:
        base = [str(BUILD / "klamm"), "perf", kind, "--bootstrap-server", broker.bootstrap,
                "--topic", "bench", "--records", str(records)]
        if kind == "produce":
            base += ["--record-size", "1024", "--acks", "1", "--batch-size", "65536"]
    subprocess.run(base, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=600)


def bytes_moved(broker, direction):
    return broker.metric(f'klamm_network_{direction}_bytes_total{{listener="PLAINTEXT"}}')


def measure_load(args, folder):
    ratios = {"produce": [], "fetch": []}
    costs = {"produce": [], "fetch": []}
    records = int(args.gb * 1e9 / 1024)
    for r in range(args.rounds):
        broker = Broker(folder / f"broker{r}", config={"log.retention.ms": "-1", "num.partitions": args.partitions}).start()
        try:
            for kind, direction in (("produce", "received"), ("fetch", "sent")):
                if kind == "fetch" and args.skip_fetch:
                    continue
                bare = floor(kind, args.gb, folder)
                cpu, moved = cpu_seconds(broker.process.pid), bytes_moved(broker, direction)
                run_client(args, args.client, broker, kind, records)
                cpu = cpu_seconds(broker.process.pid) - cpu
                moved = bytes_moved(broker, direction) - moved
                ours = cpu / (moved / 1e9)
                costs[kind].append(ours)
                ratios[kind].append(ours / bare)
                print(f"round {r + 1} {kind}: {ours:.3f} CPU s/GB, floor {bare:.3f}, "
                      f"ratio {ours / bare:.2f}", flush=True)
        finally:
            broker.process.stop(signal.SIGKILL)
            shutil.rmtree(folder / f"broker{r}")
    return ratios


def measure_start(folder):
    times = []
    for r in range(5):
        broker = Broker(folder / f"start{r}")
        started = time.monotonic()
        broker.start(wait=False)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", broker.port), 1) as s:
                    s.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
                    if s.recv(4):
                        break
            except OSError:
                time.sleep(0.0005)
        times.append((time.monotonic() - started) * 1000)
        broker.process.stop(signal.SIGKILL)
    return times


def measure_memory(folder):
    broker = Broker(folder / "memory").start()
    try:
        time.sleep(2)
        idle = broker.rss_kib()
        sockets = []
        for _ in range(1000):
            s = socket.create_connection(("127.0.0.1", broker.port))
            s.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
            s.recv(4096)
            sockets.append(s)
        after = broker.rss_kib()
        return idle / 1024, (after - idle) / 1000
    finally:
        broker.process.stop(signal.SIGKILL)


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--client", help="rdkafka_performance; without it, klamm perf")
    parser.add_argument("--skip-fetch", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="klamm-bench-"))
    try:
        starts = measure_start(folder)
        idle, connection = measure_memory(folder)
        print(f"start of an empty broker: {spread(starts)} ms")
        print(f"resident memory idle: {idle:.1f} MiB; an idle connection: {connection:.2f} KiB",
              flush=True)
        ratios = measure_load(args, folder)
        for kind, values in ratios.items():
            if values:
                print(f"{kind}: {spread(values)} x the floor")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
