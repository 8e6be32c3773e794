#!/usr/bin/env python3
"""Measures klammd against what the machine cannot do without, interleaved, as ratios.

usage: bench.py [--rounds N] [--gb N] [--client PATH]      after make and make tests/bench/floor

  produce   broker CPU seconds per GB produced (1 KiB records, 64 KiB batches, acks=1, 12
            partitions) over those of a bare receive + CRC-32C + write loop, same sizes and files
  fetch     broker CPU seconds per GB fetched from the page cache over a bare sendfile loop that
            sends the same files in the same chunks, and whose reader receives as the client does;
            drain: the same over a loop whose reader only throws away (floor.c)
  idle      resident memory of an idle broker, MiB
  start     from exec to serving, ms, empty, without an ensemble
  idle connection   KiB of resident memory for each of 1000 idle plaintext connections

The client is rdkafka_performance (--client), or `klamm perf`. A round of fetch reads what was
produced several times, in turns with the bare loops, until the broker has spent --cpu seconds.
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

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def floor(kind, gb, files):
    out = subprocess.run([str(BUILD / "tests/bench/floor"), kind, str(int(gb * 1e9)),
                          *(str(f) for f in files)],
                         check=True, capture_output=True, text=True)
    return float(out.stdout)


def wait_quiet(broker):
    """Until what the broker still has to do for what was produced, as flushing, is done."""
    def quiet():
        before = cpu_seconds(broker.process.pid)
        time.sleep(0.5)
        return cpu_seconds(broker.process.pid) - before <= TICK_S
    wait_until(quiet, "the broker is quiet", 120)


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


def measured(args, broker, kind, direction):
    """(CPU seconds, GB) of one run of the client."""
    cpu, moved = cpu_seconds(broker.process.pid), bytes_moved(broker, direction)
    run_client(args, args.client, broker, kind, int(args.gb * 1e9 / 1024))
    return (cpu_seconds(broker.process.pid) - cpu,
            (bytes_moved(broker, direction) - moved) / 1e9)


def measure_produce(args, broker, folder):
    files = [folder / f"floor{p}" for p in range(args.partitions)]
    bare = []
    cpu = gb = 0
    for _ in range(2):      # one before, one after
        os.sync()           # writing costs much more while the disk still takes earlier writes
        bare.append(floor("produce", args.gb, files))
        for file in files:
            file.unlink()
        if gb == 0:
            os.sync()
            cpu, gb = measured(args, broker, "produce", "received")
            wait_quiet(broker)
    return cpu / gb, {"produce": statistics.mean(bare)}


def measure_fetch(args, broker):
    """In turns with the floors until the broker has spent args.cpu; medians of the turns."""
    files = sorted(broker.data.glob("bench-*/*.log"))
    bare = {"fetch": [], "drain": []}
    ours = []
    spent = 0
    while spent < args.cpu:
        for kind in bare:
            bare[kind].append(floor(kind, args.gb, files))
        cpu, gb = measured(args, broker, "fetch", "sent")
        spent += cpu
        ours.append(cpu / gb)
    return (statistics.median(ours),
            {kind: statistics.median(values) for kind, values in bare.items()})


def measure_load(args, folder):
    ratios = {"produce": [], "fetch": [], "drain": []}
    for r in range(args.rounds):
        broker = Broker(folder / f"broker{r}", config={"log.retention.ms": "-1",
                                                       "num.partitions": args.partitions}).start()
        try:
            for what in ("produce", "fetch"):
                if what == "fetch" and args.skip_fetch:
                    continue
                ours, floors = (measure_produce(args, broker, folder) if what == "produce"
                                else measure_fetch(args, broker))
                for kind, bare in floors.items():
                    ratios[kind].append(ours / bare)
                    print(f"round {r + 1} {kind}: {ours:.3f} CPU s/GB, floor {bare:.3f}, "
                          f"ratio {ours / bare:.2f}", flush=True)
        finally:
            broker.process.stop(signal.SIGKILL)
            shutil.rmtree(folder / f"broker{r}")
    return ratios


def measure_start(args, folder):
    times = []
    for r in range(args.starts):
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
    parser.add_argument("--cpu", type=float, default=3.0,
                        help="seconds that the broker spends in a round of fetch, at least")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--client", help="rdkafka_performance; without it, klamm perf")
    parser.add_argument("--skip-fetch", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="klamm-bench-"))
    try:
        starts = measure_start(args, folder)
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
