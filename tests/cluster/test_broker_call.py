"""Brokers that answer klamm's own requests badly, late or never: what it makes of them."""
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import KLAMM
from test_cli import ok, refused

METADATA, VERSIONS, ELECT, LIST = 3, 18, 43, 46
NOT_CONTROLLER = 41


def text(s):
    return struct.pack(">h", len(s)) + s.encode()


class FakeBroker:
    """Answers requests by a table {api key: function(body) -> answer, None to say nothing}."""

    def __init__(self, apis, answers):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.apis, self.asked = apis, []
        self.answers = {VERSIONS: self.versions, METADATA: self.metadata, **answers}
        threading.Thread(target=self.accept, daemon=True).start()

    def versions(self, _):
        return struct.pack(">hi", 0, len(self.apis)) + b"".join(
            struct.pack(">hhh", *api) for api in self.apis)

    def metadata(self, _):
        """Version 1: one broker, which is the controller, and no topics."""
        return (struct.pack(">ii", 1, 1) + text("127.0.0.1") + struct.pack(">ih", self.port, -1) +
                struct.pack(">ii", 1, 0))

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as requests:
            while len(size := requests.read(4)) == 4:
                body = requests.read(struct.unpack(">i", size)[0])
                key = struct.unpack(">h", body[:2])[0]
                self.asked.append(key)
                answer = self.answers[key](body)
                if answer is None:
                    continue
                answer = body[4:8] + answer
                connection.sendall(struct.pack(">i", len(answer)) + answer)

    def close(self):
        self.socket.close()


@pytest.fixture
def fake():
    made = []

    def make(apis, answers=None):
        made.append(FakeBroker(apis, answers or {}))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def klamm(broker, *args):
    env = dict(os.environ, KLAMM_BOOTSTRAP_SERVER=f"127.0.0.1:{broker.port}")
    return subprocess.run([str(KLAMM), *map(str, args)], env=env, capture_output=True, text=True,
                          timeout=60)


ALL = [(METADATA, 0, 1), (VERSIONS, 0, 0), (ELECT, 0, 0), (LIST, 0, 0)]
ELECT_ALL = ("topic", "elect-leaders", "--all-topic-partitions")


def test_versions_are_negotiated_down(fake):
    broker = fake(ALL, {ELECT: lambda _: struct.pack(">ii", 0, 0)})
    assert ok(klamm(broker, *ELECT_ALL)) == "No partition needs an election.\n"


def test_a_broker_that_does_not_serve_an_api_is_named_with_it(fake):
    broker = fake(ALL[:2])
    refused(klamm(broker, *ELECT_ALL), f"broker 1 (127.0.0.1:{broker.port})", "ElectLeaders")
    refused(klamm(fake([(METADATA, 0, 0)]), *ELECT_ALL), "Metadata")
    refused(klamm(fake([(METADATA, 90, 99)]), *ELECT_ALL), "Metadata")
    # Version 1 would create the topic.
    refused(klamm(fake(ALL), "topic", "elect-leaders", "t"), "Metadata only in versions")


def test_a_controller_that_is_none_any_longer_is_asked_for_anew(fake):
    says = [NOT_CONTROLLER, NOT_CONTROLLER, 0]

    def reassignments(_):  # flexible: tags of the header; no text, no topics, no tags
        return b"\0" + struct.pack(">ih", 0, says.pop(0)) + b"\0\1\0"

    broker = fake(ALL, {LIST: reassignments})
    assert ok(klamm(broker, "reassign", "watch")) == "Nothing is being reassigned.\n"
    asked = [key for key in broker.asked if key in (LIST, METADATA)]
    first, last = asked.index(LIST), len(asked) - 1 - asked[::-1].index(LIST)
    assert says == [] and asked[first:last].count(METADATA) >= 2


def test_a_broker_that_never_answers_is_given_up(fake):
    for silent in (VERSIONS, METADATA, ELECT):
        start = time.monotonic()
        broker = fake(ALL, {silent: lambda _: None})
        refused(klamm(broker, *ELECT_ALL, "--timeout", 1500), "no answer", str(broker.port))
        assert 1 < time.monotonic() - start < 20


@pytest.mark.parametrize("answer", [b"", b"\xff" * 64, b"\x7f\xff\xff\xff" * 4, b"HTTP/1.1 400 "])
@pytest.mark.parametrize("key", [VERSIONS, METADATA, ELECT])
def test_an_answer_that_is_none_is_refused(fake, key, answer):
    broker = fake(ALL, {key: lambda _: answer})
    result = klamm(broker, *ELECT_ALL, "--timeout", 3000)
    assert result.returncode == 1 and str(broker.port) in result.stderr, result


def test_an_http_server_is_no_broker(fake):
    broker = fake(ALL)

    def serve(connection):
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    broker.serve = serve
    refused(klamm(broker, *ELECT_ALL), "no answer from", str(broker.port))
