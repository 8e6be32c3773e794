"""What the cluster tests stand on: real ZooKeeper servers, real brokers, free loopback ports.

Everything lives in a temporary folder of its own test and is ended with it. Nothing sleeps for a
fixed time: wait_until() waits for a condition and says what it waited for when it does not come.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("KLAMM_BUILD", Path(__file__).resolve().parents[2]))
# The operator's command may come from another build: under ThreadSanitizer the broker alone can run.
KLAMM = Path(os.environ.get("KLAMM_COMMAND", BUILD / "klamm"))
ZOOKEEPER_CLASSPATH = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"
START_TIMEOUT_S = 30


PORTS = set()  # that were given out; those who asked may not listen yet


def free_port():
    """A port that nobody listens on, below the kernel's range for outgoing connections."""
    while True:
        port = 10240 + int.from_bytes(os.urandom(2), "big") % 20000
        if port in PORTS:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            PORTS.add(port)
            return port


def wait_until(condition, what, timeout_s=START_TIMEOUT_S):
    """Returns the first true value of condition(); fails naming `what` when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.02)


def end_with_parent():
    """In the child: the kernel ends it when the test process is gone, however that came."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """One child with its output in a file; ended by pid."""

    def __init__(self, args, log, env=None):
        self.log = Path(log)
        self.held = False  # by SIGSTOP
        self.out = open(self.log, "ab")
        self.child = subprocess.Popen(
            [str(a) for a in args], stdout=self.out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, env=env, preexec_fn=end_with_parent)

    @property
    def pid(self):
        return self.child.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def running(self):
        return self.child.poll() is None

    def send(self, number):
        if self.running():
            self.child.send_signal(number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self.held = number == signal.SIGSTOP

    def stop(self, number=signal.SIGTERM, timeout_s=30):
        self.send(number)
        try:
            self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.log.name}: did not stop within {timeout_s} s")
        finally:
            self.out.close()
        return self.child.returncode


class ZooKeeper:
    """One server: alone, or of an ensemble, where `more` is the rest of its configuration."""

    def __init__(self, path, tick_ms=500, more="", wait=True, host="127.0.0.1"):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.host, self.port = host, free_port()
        self.tick_ms = tick_ms
        self.more = more
        self.process = None
        self.start(wait)

    @property
    def connect(self):
        return f"{self.host}:{self.port}"

    def start(self, wait=True):
        config = self.path / "zoo.cfg"
        config.write_text(
            f"tickTime={self.tick_ms}\ninitLimit=10\nsyncLimit=5\ndataDir={self.path}/data\n"
            f"clientPort={self.port}\nclientPortAddress={self.host}\nadmin.enableServer=false\n"
            f"4lw.commands.whitelist=*\nmaxClientCnxns=0\n{self.more}")
        (self.path / "data").mkdir(exist_ok=True)
        self.process = Process(
            ["java", "-Xmx128m", "-cp", ZOOKEEPER_CLASSPATH,
             "org.apache.zookeeper.server.quorum.QuorumPeerMain", config],
            self.path / "zookeeper.log")
        if wait:
            self.wait_serving()

    def mode(self):
        """"standalone", "leader" or "follower"; empty while it serves nobody."""
        return "".join(re.findall("^Mode: (.*)$", self.four_letters("srvr"), re.M))

    def wait_serving(self):
        wait_until(self.mode, "ZooKeeper serves")

    def four_letters(self, word):
        try:
            with socket.create_connection((self.host, self.port), 5) as s:
                s.sendall(word.encode())
                answer = b""
                while chunk := s.recv(4096):
                    answer += chunk
                return answer.decode(errors="replace")
        except OSError:
            return ""

    def stop(self, number=signal.SIGTERM):
        if self.process is not None:
            self.process.stop(number)
            self.process = None


class Ensemble:
    """Three servers of which one leads."""

    def __init__(self, path):
        path = Path(path)
        peers = "".join(f"server.{i}=127.0.0.1:{free_port()}:{free_port()}\n" for i in (1, 2, 3))
        self.servers = []
        for i in (1, 2, 3):
            (path / f"server{i}" / "data").mkdir(parents=True)
            (path / f"server{i}" / "data" / "myid").write_text(str(i))
            self.servers.append(ZooKeeper(path / f"server{i}", more=peers, wait=False))
        self.wait_serving()

    @property
    def connect(self):
        return ",".join(s.connect for s in self.servers)

    def leader(self):
        return next((s for s in self.servers if s.process is not None and s.mode() == "leader"),
                    None)

    def start(self):
        for server in self.servers:
            server.start(wait=False)
        self.wait_serving()

    def wait_serving(self):
        for server in self.servers:
            server.wait_serving()

    def stop(self, number=signal.SIGTERM):
        for server in self.servers:
            server.stop(number)


class Broker:
    """One klammd with a data directory that outlives its restarts.

    host and prefix: where it is reached, and what to run it by, when that is another network.
    """

    def __init__(self, path, broker_id=0, zookeeper=None, config=None, listeners=None,
                 host="127.0.0.1", prefix=()):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.data = self.path / "data"
        self.id = broker_id
        self.host, self.prefix = host, prefix
        self.port = free_port()
        self.http_port = free_port()
        self.process = None
        settings = {
            "broker.id": broker_id,
            "listeners": listeners or f"PLAINTEXT://{host}:{self.port}",
            "log.dirs": self.data,
            "klamm.http.listeners": f"http://{host}:{self.http_port}",
            "log.initial.task.delay.ms": 100,
            "zookeeper.session.timeout.ms": 6000,
        }
        if zookeeper is not None:
            settings["zookeeper.connect"] = zookeeper
        else:
            settings["klamm.standalone"] = "true"
        settings.update(config or {})
        self.settings = settings

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    def write_config(self):
        file = self.path / "server.properties"
        file.write_text("".join(f"{k}={v}\n" for k, v in self.settings.items()))
        return file

    def start(self, wait=True):
        self.process = Process([*self.prefix, BUILD / "klammd", self.write_config()],
                               self.path / "klammd.log")
        if wait:
            wait_until(lambda: self.is_ready() or not self.process.running(),
                       f"broker {self.id} is ready")
            assert self.process.running(), self.log()
        return self

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def get(self, path):
        """(status, text) of a page of the HTTP listener; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.http_port}{path}", timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name):
        """The value of the first sample whose name and labels begin with `name`."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name):
                return float(line.rsplit(" ", 1)[1])
        return None

    def log(self):
        return self.process.text() if self.process else (self.path / "klammd.log").read_text()

    def errors(self):
        return [l for l in self.log().splitlines() if re.match(r"\S+Z ERROR ", l)]

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def stop(self):
        code = self.process.stop()
        assert code == 0, self.log()

    def restart(self):
        self.stop()
        return self.start()

    def rss_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def klamm(self, *args, input=None, timeout_s=60):
        """Runs the built klamm command against this broker."""
        env = dict(os.environ, KLAMM_BOOTSTRAP_SERVER=self.bootstrap)
        return subprocess.run([str(KLAMM), *map(str, args)], input=input, env=env,
                              capture_output=True, text=True, timeout=timeout_s)


def kill_all(brokers):
    for broker in brokers:
        if broker.process is not None and broker.process.running():
            broker.process.stop(signal.SIGKILL)


class Cluster:
    """Brokers behind one ZooKeeper."""

    def __init__(self, path, count, config=None, zookeeper=None, chroot=""):
        self.path = Path(path)
        self.zookeeper = zookeeper or ZooKeeper(self.path / "zookeeper")
        self.chroot = chroot
        self.brokers = [Broker(self.path / f"broker{i}", i, self.zookeeper.connect + chroot, config)
                        for i in range(1, count + 1)]

    def start(self):
        for broker in self.brokers:
            broker.start()
        return self

    @property
    def bootstrap(self):
        return ",".join(b.bootstrap for b in self.brokers)

    def stop(self):
        kill_all(self.brokers)
        self.zookeeper.stop(signal.SIGKILL)


@pytest.fixture
def standalone(tmp_path):
    """One broker without an ensemble."""
    broker = Broker(tmp_path / "broker").start()
    yield broker
    kill_all([broker])


@pytest.fixture
def make_broker(tmp_path):
    """Makes brokers without an ensemble, with settings of the test's own."""
    made = []

    def make(config=None, **more):
        broker = Broker(tmp_path / f"broker{len(made)}", config=config, **more)
        made.append(broker)
        return broker

    yield make
    kill_all(made)


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory):
    """One ZooKeeper for all tests; each takes a chroot of its own."""
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path, zookeeper):
    """One broker in a chroot of the shared ZooKeeper."""
    c = Cluster(tmp_path, 1, zookeeper=zookeeper, chroot=f"/{tmp_path.name}").start()
    yield c
    kill_all(c.brokers)


@pytest.fixture
def cluster3(tmp_path, zookeeper):
    """Three brokers in a chroot of the shared ZooKeeper."""
    c = Cluster(tmp_path, 3, zookeeper=zookeeper, chroot=f"/{tmp_path.name}").start()
    yield c
    kill_all(c.brokers)


def kazoo_of(cluster):
    """For a fixture: a session of kazoo in the cluster's chroot."""
    from kazoo.client import KazooClient  # the benchmarks and other suites do without
    client = KazooClient(hosts=cluster.zookeeper.connect + cluster.chroot)
    client.start(timeout=30)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def zk(cluster):
    yield from kazoo_of(cluster)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A development authority and a certificate for localhost: paths by name."""
    path = tmp_path_factory.mktemp("certificates")
    script = Path(__file__).resolve().parents[2] / "etc" / "make-certificates.sh"
    subprocess.run([str(script), str(path), "localhost"], check=True, capture_output=True)
    return path
