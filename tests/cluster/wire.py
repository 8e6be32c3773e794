"""Kafka's messages for tests that speak the protocol themselves, in every version.

Requests and responses are dicts: {field name of the schema: value}. They are encoded and decoded
here by the declarations in src/wire/schema, with code that shares nothing with the broker's. The
decoder forgives nothing: a tag that is not declared, a length that does not fit and bytes that are
left over are errors.
"""
import importlib.util
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

SCHEMA = Path(__file__).resolve().parents[2] / "src" / "wire" / "schema"
API_VERSIONS = 18

NUMBERS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I",
           "int64": ">q", "float64": ">d"}


class WireError(Exception):
    """Bytes, or values, that are not what the schema declares."""


def _generator():
    """src/wire/schema/generate.py as a module, leaving nothing in the source tree."""
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec = importlib.util.spec_from_file_location("klamm_generate", SCHEMA / "generate.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module


class Api:
    """One API: its key, name and two messages."""

    def __init__(self, key, name):
        self.key, self.name = key, name
        self.request = self.response = None

    def flexible(self, version):
        return version >= self.request.flexible_since


def _load():
    apis = {}
    headers = {}
    for messages in _generator().load_all(SCHEMA).values():
        for message in messages:
            if message.kind == "header":
                headers[message.name] = message
            elif message.api_key is not None:
                api = apis.setdefault(message.api_key, Api(message.api_key, message.api_name))
                setattr(api, message.kind, message)
    return apis, headers


APIS, HEADERS = _load()
BY_NAME = {api.name: api for api in APIS.values()}


def within(version, versions):
    return versions[0] <= version <= versions[1]


# ---- values ------------------------------------------------------------------------------------


def default_of(field):
    text = field.default
    if text == "null":
        return None
    if field.is_array:
        return []
    if field.struct is not None:
        return {f.name: default_of(f) for f in field.struct.fields}
    if field.item == "string":
        return text or ""
    if field.item in ("bytes", "records"):
        return b""
    if field.item == "uuid":
        return bytes(16)
    if field.item == "bool":
        return text == "true"
    return float(text or 0) if field.item == "float64" else int(text or "0", 0)


def uvarint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# ---- encoding ----------------------------------------------------------------------------------


def _length(length, width, flexible):
    """A length, None for null, before a string, bytes or an array."""
    if flexible:
        return uvarint(0 if length is None else length + 1)
    return struct.pack(">h" if width == 2 else ">i", -1 if length is None else length)


def _encode_item(field, value, version, flexible):
    if field.struct is not None:
        if field.may_be_null and not field.is_array:
            if value is None:
                return b"\xff"
            return b"\1" + encode_struct(field.struct, value, version, flexible)
        return encode_struct(field.struct, value, version, flexible)
    if field.item in NUMBERS:
        return struct.pack(NUMBERS[field.item], value)
    if field.item == "bool":
        return b"\1" if value else b"\0"
    if field.item == "uuid":
        return value
    if value is None and not within(version, field.nullable) and not field.is_array:
        raise WireError(f"{field.name} must not be null in version {version}")
    data = value.encode() if isinstance(value, str) else value
    width = 2 if field.item == "string" else 4
    return _length(None if data is None else len(data), width, flexible) + (data or b"")


def _encode_field(field, value, version, flexible):
    flexible = flexible and not field.inflexible
    if not field.is_array:
        return _encode_item(field, value, version, flexible)
    if value is None:
        if not within(version, field.nullable):
            raise WireError(f"{field.name} must not be null in version {version}")
        return _length(None, 4, flexible)
    return _length(len(value), 4, flexible) + b"".join(
        _encode_item(field, item, version, flexible) for item in value)


def encode_struct(fields_of, values, version, flexible):
    """values: fields that are left out have their default; those of other versions are ignored."""
    unknown = set(values) - {field.name for field in fields_of.fields}
    if unknown:
        raise WireError(f"{fields_of.name} has no {sorted(unknown)}")
    out, tagged = b"", []
    for field in fields_of.fields:
        if not within(version, field.versions):
            continue
        value = values.get(field.name, default_of(field))
        if field.tag is None:
            out += _encode_field(field, value, version, flexible)
        elif value != default_of(field):
            data = _encode_field(field, value, version, flexible)
            tagged.append((field.tag, uvarint(field.tag) + uvarint(len(data)) + data))
    if flexible:
        out += uvarint(len(tagged)) + b"".join(data for _, data in sorted(tagged))
    return out


# ---- decoding ----------------------------------------------------------------------------------


class Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, count):
        if count < 0 or self.pos + count > len(self.data):
            raise WireError(f"{count} bytes at {self.pos} of {len(self.data)}")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise WireError(f"a varint of more than 5 bytes at {self.pos}")

    def length(self, width, flexible):
        """None for null."""
        if flexible:
            length = self.uvarint() - 1
        else:
            length = self.number(">h" if width == 2 else ">i")
        if length < -1:
            raise WireError(f"a length of {length} at {self.pos}")
        return None if length == -1 else length

    def end(self):
        if self.pos != len(self.data):
            raise WireError(f"{len(self.data) - self.pos} bytes are left of {len(self.data)}")


def _decode_item(field, reader, version, flexible):
    if field.struct is not None:
        if field.may_be_null and not field.is_array:
            present = reader.number(">b")
            if present not in (-1, 1):
                raise WireError(f"{field.name}: {present} before a struct that may be null")
            if present == -1:
                return None
        return decode_struct(field.struct, reader, version, flexible)
    if field.item in NUMBERS:
        return reader.number(NUMBERS[field.item])
    if field.item == "bool":
        byte = reader.number(">B")
        if byte > 1:
            raise WireError(f"{field.name}: {byte} is no bool")
        return byte == 1
    if field.item == "uuid":
        return reader.take(16)
    length = reader.length(2 if field.item == "string" else 4, flexible)
    if length is None:
        if not within(version, field.nullable):
            raise WireError(f"{field.name} is null in version {version}")
        return None
    data = reader.take(length)
    return data.decode() if field.item == "string" else data


def _decode_field(field, reader, version, flexible):
    flexible = flexible and not field.inflexible
    if not field.is_array:
        return _decode_item(field, reader, version, flexible)
    count = reader.length(4, flexible)
    if count is None:
        if not within(version, field.nullable):
            raise WireError(f"{field.name} is null in version {version}")
        return None
    if count > len(reader.data) - reader.pos:
        raise WireError(f"{field.name}: {count} items in {len(reader.data) - reader.pos} bytes")
    return [_decode_item(field, reader, version, flexible) for _ in range(count)]


def _decode_tags(fields_of, reader, version, values):
    tags = {f.tag: f for f in fields_of.fields
            if f.tag is not None and within(version, f.versions)}
    last = -1
    for _ in range(reader.uvarint()):
        tag = reader.uvarint()
        if tag <= last or tag not in tags:
            raise WireError(f"{fields_of.name}: tag {tag} is not of version {version}, or not in order")
        last = tag
        inner = Reader(reader.take(reader.uvarint()))
        values[tags[tag].name] = _decode_field(tags[tag], inner, version, True)
        inner.end()


def decode_struct(fields_of, reader, version, flexible):
    """The fields of this version; a tagged one that was not sent has its default."""
    values = {}
    for field in fields_of.fields:
        if not within(version, field.versions):
            continue
        if field.tag is None:
            values[field.name] = _decode_field(field, reader, version, flexible)
        else:
            values[field.name] = default_of(field)
    if flexible:
        _decode_tags(fields_of, reader, version, values)
    return values


def encode(message, version, values):
    return encode_struct(message.root, values, version, version >= message.flexible_since)


def decode(message, version, data):
    """The dict of a message that takes all of data."""
    reader = Reader(data)
    values = decode_struct(message.root, reader, version, version >= message.flexible_since)
    reader.end()
    return values


# ---- connections -------------------------------------------------------------------------------


class Connection:
    """One connection to a broker; requests are answered in turn."""

    def __init__(self, port, host="127.0.0.1", timeout_s=30):
        self.socket = socket.create_connection((host, port), timeout_s)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.socket.close()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the broker closed the connection")
            data += chunk
        return data

    def send(self, name, version, values):
        api = BY_NAME[name]
        self.correlation += 1
        header = {"RequestApiKey": api.key, "RequestApiVersion": version,
                  "CorrelationId": self.correlation, "ClientId": "every version"}
        # ControlledShutdown 0 alone has the oldest header, without a client id.
        header_version = 2 if api.flexible(version) else 0 if (api.key, version) == (7, 0) else 1
        frame = encode(HEADERS["RequestHeader"], header_version, header)
        frame += encode(api.request, version, values)
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self, name, version):
        """The answer to the last request, decoded to its last byte."""
        api = BY_NAME[name]
        reader = Reader(self._exactly(struct.unpack(">i", self._exactly(4))[0]))
        # The answer to ApiVersions never has tags in its header: a client may not know them yet.
        header_version = 1 if api.flexible(version) and api.key != API_VERSIONS else 0
        header = decode_struct(HEADERS["ResponseHeader"].root, reader, header_version,
                               header_version == 1)
        if header["CorrelationId"] != self.correlation:
            raise WireError(f"correlation id {header['CorrelationId']}, not {self.correlation}")
        return decode(api.response, version, reader.data[reader.pos:])

    def call(self, name, version, values):
        self.send(name, version, values)
        return self.receive(name, version)


def advertised(port):
    """{key: (lowest, highest version)} of what the broker says it serves."""
    with Connection(port) as c:
        return {a["ApiKey"]: (a["MinVersion"], a["MaxVersion"])
                for a in c.call("ApiVersions", 0, {})["ApiKeys"]}


# ---- records -----------------------------------------------------------------------------------


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def _zigzag(number):
    return uvarint(number << 1 ^ number >> 63)


def record_batch(magic, key, value):
    """One record, as producers of that magic send it, of now: an old one may be deleted at once."""
    timestamp_ms = int(time.time() * 1000)
    if magic < 2:
        body = struct.pack(">bb", magic, 0)
        body += struct.pack(">q", timestamp_ms) if magic == 1 else b""
        body += struct.pack(">i", len(key)) + key + struct.pack(">i", len(value)) + value
        message = struct.pack(">I", zlib.crc32(body)) + body
        return struct.pack(">qi", 0, len(message)) + message
    record = (b"\0" + _zigzag(0) + _zigzag(0) + _zigzag(len(key)) + key + _zigzag(len(value)) +
              value + _zigzag(0))
    records = _zigzag(len(record)) + record
    body = struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1) + records
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


def batch_magic(data):
    return data[16]
