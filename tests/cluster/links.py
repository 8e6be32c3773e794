"""Links between processes that a test can break: a TCP proxy before each broker and each ensemble.

Every broker listens twice. Clients use CLIENT, which nothing lies before. Other brokers find INTERNAL
at the address of a proxy, which knows by the client id of the first request which broker it speaks
for; so the links of single pairs can be broken, each direction for itself:

  CUT        resets connections, those that are there and new ones
  HOLD       nothing arrives, not even an end, until the link is healed: then all of it, late
  BLACKHOLE  nothing arrives, ever; connections stay and new ones are accepted
"""
import re
import selectors
import socket
import struct
import threading
from collections import defaultdict

from conftest import Cluster, free_port

PASS, CUT, HOLD, BLACKHOLE = "pass", "cut", "hold", "blackhole"
CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset


class Link:
    """A connection through a proxy. The near end is that of who connected."""

    def __init__(self, near, target, address):
        self.near, self.far = near, None
        self.source, self.target, self.address = None, target, address
        self.waiting = {near: b""}  # what is to be written to each end
        self.over = None  # the end that the peer has closed

    def other(self, end):
        return self.far if end is self.near else self.near

    def pair(self, end):
        """The direction of what is read from this end."""
        ids = (self.source, self.target)
        return ids if end is self.near else ids[::-1]


def speaker(data):
    """The 7 of "7" or "broker-7-fetcher-0", the client id of a request; None: not all is there; 0: a
    stranger, who looks for whoever had this port before."""
    if len(data) < 14:
        return None
    length, = struct.unpack(">h", data[12:14])
    if len(data) < 14 + length:
        return None
    name = re.fullmatch(rb"(?:broker-)?(\d+)(?:-.*)?", data[14:14 + length])
    return int(name.group(1)) if name else 0


class Proxies:
    """All proxies of one test, on a thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.orders = []
        self.modes = defaultdict(lambda: PASS)  # of (from, to): ids of brokers, or "zookeeper"
        self.links = set()
        self.listeners = []
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ, self.on_wake)
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- for the test ----

    def add(self, target, address, source=None):
        """A port that leads to address. target names it; source: who alone connects there."""
        listener, port = socket.socket(), free_port()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listener.setblocking(False)
        self.order(lambda: self.listen(listener, target, address, source))
        return port

    def set(self, mode, a, b, back=True):
        """From now on what a sends to b fares so, and where `back` is true what b sends to a."""
        def change():
            for pair in [(a, b)] + ([(b, a)] if back else []):
                self.modes[pair] = mode
            for link in [l for l in self.links if {l.source, l.target} == {a, b}]:
                self.reset(link) if mode == CUT else self.watch(link)
        self.order(change)

    def isolate(self, mode, a, others):
        for b in others:
            if b != a:
                self.set(mode, a, b)

    def heal(self):
        """All passes. Connections that lost bytes are reset: their streams have a hole."""
        def change():
            lost = [l for l in self.links if BLACKHOLE in (self.modes[l.source, l.target],
                                                           self.modes[l.target, l.source])]
            self.modes.clear()
            for link in lost:
                self.reset(link)
            for link in list(self.links):
                self.watch(link)
        self.order(change)

    def stop(self):
        self.order(self.close_all)
        self.thread.join(10)

    # ---- the thread ----

    def order(self, change):
        done = threading.Event()
        with self.lock:
            self.orders.append((change, done))
        self.wake.send(b".")
        assert done.wait(10), "the proxies' thread has ended"

    def run(self):
        while self.running:
            for key, events in self.selector.select():
                key.data(events)

    def on_wake(self, _):
        self.woken.recv(4096)
        with self.lock:
            orders, self.orders = self.orders, []
        for change, done in orders:
            change()
            done.set()

    def close_all(self):
        for link in list(self.links):
            self.reset(link)
        for listener in self.listeners:
            listener.close()
        self.running = False

    def listen(self, listener, target, address, source):
        self.listeners.append(listener)
        self.selector.register(listener, selectors.EVENT_READ,
                               lambda _: self.accept(listener, target, address, source))

    def accept(self, listener, target, address, source):
        try:
            near, _ = listener.accept()
        except OSError:
            return
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(near, target, address)
        self.links.add(link)
        if source is None:
            self.watch(link)
        else:
            self.identify(link, source, b"")

    def identify(self, link, source, first):
        link.source = source
        if CUT in (self.modes[source, link.target], self.modes[link.target, source]):
            self.reset(link)
            return
        link.far = socket.socket()
        link.far.setblocking(False)
        link.far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.far.connect_ex(link.address)
        link.waiting[link.far] = b"" if self.modes[source, link.target] == BLACKHOLE else first
        self.watch(link)

    def watch(self, link):
        """Waits for what each end is ready for, as far as its directions let pass."""
        for end in link.waiting:
            events = 0
            if link.source is None or (self.modes[link.pair(end)] != HOLD and end is not link.over):
                events |= selectors.EVENT_READ
            if link.source is not None and link.waiting[end] and \
                    self.modes[link.pair(link.other(end))] != HOLD:
                events |= selectors.EVENT_WRITE
            known = end in self.selector.get_map()
            if known and events == 0:
                self.selector.unregister(end)
            elif known:
                self.selector.modify(end, events, lambda w, end=end: self.on_event(link, end, w))
            elif events != 0:
                self.selector.register(end, events, lambda w, end=end: self.on_event(link, end, w))

    def on_event(self, link, end, what):
        if link not in self.links:
            return  # closed by an event of the same round
        try:
            if what & selectors.EVENT_WRITE:
                link.waiting[end] = link.waiting[end][end.send(link.waiting[end]):]
            if what & selectors.EVENT_READ:
                self.read(link, end)
            if link in self.links:
                self.watch(link)
                self.close_if_over(link)
        except BlockingIOError:
            pass
        except OSError:
            self.reset(link)

    def read(self, link, end):
        data = end.recv(CHUNK)
        if link.source is None:
            link.waiting[end] += data  # a place to keep it
            source = speaker(link.waiting[end])
            if not data or source == 0:
                self.reset(link)
            elif source is not None:
                first, link.waiting[end] = link.waiting[end], b""
                self.identify(link, source, first)
        elif not data:
            link.over = end
        elif self.modes[link.pair(end)] != BLACKHOLE:
            link.waiting[link.other(end)] += data

    def close_if_over(self, link):
        """The end of a stream passes as bytes do: after those before it, or not at all."""
        if link.over is None or self.modes[link.pair(link.over)] in (HOLD, BLACKHOLE):
            return
        if not link.waiting[link.other(link.over)]:
            self.close(link)

    def reset(self, link):
        for end in link.waiting:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close(link)

    def close(self, link):
        self.links.discard(link)
        for end in link.waiting:
            if end in self.selector.get_map():
                self.selector.unregister(end)
            end.close()


class LinkedCluster(Cluster):
    """Brokers whose links to each other and to the ensemble are the proxies'."""

    def __init__(self, path, count, config=None, zookeeper=None, chroot=""):
        super().__init__(path, count, config, zookeeper, chroot)
        self.links = Proxies()
        for broker in self.brokers:
            internal = free_port()
            to_ensemble = self.links.add("zookeeper", ("127.0.0.1", zookeeper.port), broker.id)
            to_broker = self.links.add(broker.id, ("127.0.0.1", internal))
            client = f"CLIENT://127.0.0.1:{broker.port}"
            broker.settings.update({
                "zookeeper.connect": f"127.0.0.1:{to_ensemble}{chroot}",
                "listeners": f"{client},INTERNAL://127.0.0.1:{internal}",
                "advertised.listeners": f"{client},INTERNAL://127.0.0.1:{to_broker}",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT",
                "inter.broker.listener.name": "INTERNAL"})

    def everybody(self):
        return [b.id for b in self.brokers] + ["zookeeper"]
