"""Fetch 13 and later name topics by id, as newer clients than Debian's do: spoken by hand."""
import struct

import pytest

from test_bad_input import answer, connect, request
from test_records import create, produce

FETCH = 1
UNKNOWN_TOPIC_ID = 100


def topic_id(broker, topic):
    """The 16 bytes, from partition.metadata."""
    import base64
    text = (broker.data / f"{topic}-0" / "partition.metadata").read_text()
    return base64.urlsafe_b64decode(text.split("topic_id: ")[1].strip() + "==")


def fetch_by_id(broker, identity, version):
    """(error code, record bytes) of partition 0 of one topic, sessionless."""
    replica = b"" if version >= 15 else struct.pack(">i", -1)
    body = replica + struct.pack(">iiib", 500, 1, 1 << 20, 0) + struct.pack(">ii", 0, -1)
    partition = struct.pack(">iiqiqi", 0, -1, 0, -1, -1, 1 << 20) + b"\0"
    body += b"\x02" + identity + b"\x02" + partition + b"\0"  # one topic, one partition
    body += b"\x01" + b"\x01" + b"\0"                         # nothing forgotten, no rack
    with connect(broker) as s:
        s.sendall(request(FETCH, version, b"\0" + body))
        got = answer(s)
    assert got is not None
    at = 4 + 1 + 4                                            # correlation, tags, throttle
    error, _, topics = struct.unpack_from(">hib", got, at)
    assert (error, topics) == (0, 2)
    at += 7
    assert got[at:at + 16] == identity
    at += 16 + 1
    _, code, high_watermark, _, _ = struct.unpack_from(">ihqqq", got, at)
    return code, high_watermark, got


@pytest.mark.parametrize("version", [13, 15, 16, 17])
def test_a_topic_is_fetched_by_its_id(standalone, version):
    create(standalone.bootstrap, "t")
    produce(standalone.bootstrap, "t", [("k", "the very value", None)])
    code, high_watermark, got = fetch_by_id(standalone, topic_id(standalone, "t"), version)
    assert (code, high_watermark) == (0, 1)
    assert b"the very value" in got


def test_an_unknown_topic_id_is_said(standalone):
    assert fetch_by_id(standalone, b"\x07" * 16, 16)[0] == UNKNOWN_TOPIC_ID
