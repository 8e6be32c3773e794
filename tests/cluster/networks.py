"""Brokers in networks of their own, on one bridge: links that lose packets, as cables do.

Unlike a proxy this leaves the peers alone with TCP: no reset, no end, only what is sent again and
again. It needs the right to make network namespaces; where that is missing the tests are skipped.
"""
import os
import subprocess

import pytest

from conftest import Broker, Cluster, ZooKeeper

NOWHERE = "02:00:00:00:00:99"  # an address that no interface has


def ip(*args, check=True):
    done = subprocess.run(["ip", *map(str, args)], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise OSError(f"ip {' '.join(map(str, args))}: {done.stderr.strip()}")
    return done


class Bridge:
    """The test's own end, with the first address, and one namespace for each broker."""

    def __init__(self, count):
        self.tag = f"k{os.getpid() % 100000}"
        self.subnet = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self.numbers = range(1, count + 1)
        try:
            ip("link", "add", self.tag, "type", "bridge")
            ip("address", "add", f"{self.host}/24", "dev", self.tag)
            ip("link", "set", self.tag, "up")
            for i in self.numbers:
                self.add(i)
        except OSError as e:
            self.stop()
            pytest.skip(f"no network namespaces can be made here: {e}")

    def add(self, i):
        ip("netns", "add", self.namespace(i))
        ip("link", "add", self.link(i), "type", "veth", "peer", "name", "eth0", "netns",
           self.namespace(i))
        ip("link", "set", self.link(i), "master", self.tag, "up")
        ip("-n", self.namespace(i), "address", "add", f"{self.address(i)}/24", "dev", "eth0")
        ip("-n", self.namespace(i), "link", "set", "eth0", "up")
        ip("-n", self.namespace(i), "link", "set", "lo", "up")

    @property
    def host(self):
        return f"{self.subnet}.1"

    def address(self, i):
        return f"{self.subnet}.{10 + i}"

    def namespace(self, i):
        return f"{self.tag}n{i}"

    def link(self, i):
        return f"{self.tag}v{i}"

    def unplug(self, i):
        """Nothing reaches it or leaves it any more; its own end sees no difference."""
        ip("link", "set", self.link(i), "nomaster")

    def lose(self, a, address):
        """What a sends to the address is lost."""
        ip("-n", self.namespace(a), "neighbour", "replace", address, "lladdr", NOWHERE,
           "nud", "permanent", "dev", "eth0")

    def heal(self):
        for i in self.numbers:
            ip("link", "set", self.link(i), "master", self.tag)
            ip("-n", self.namespace(i), "neighbour", "flush", "dev", "eth0", "nud", "permanent")

    def stop(self):
        for i in self.numbers:
            ip("netns", "delete", self.namespace(i), check=False)
        ip("link", "delete", self.tag, check=False)


class BridgedCluster(Cluster):
    """Brokers of one bridge behind a ZooKeeper at the test's end of it."""

    def __init__(self, path, bridge, config=None):
        self.bridge = bridge
        super().__init__(path, 0, zookeeper=ZooKeeper(path / "zookeeper", host=bridge.host))
        self.brokers = [
            Broker(path / f"broker{i}", i, self.zookeeper.connect, config, host=bridge.address(i),
                   prefix=("ip", "netns", "exec", bridge.namespace(i))) for i in bridge.numbers]
