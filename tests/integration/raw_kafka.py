"""Sends raw Produce requests to Kafka, which kafka-python would not send, and reads the broker's answer."""

import socket
import struct
import time
from collections.abc import Iterable

from kafka.record.util import calc_crc32c

RawHeaders = Iterable[tuple[bytes | None, bytes | None]]

_PRODUCE, _VERSION, _ACKS_ALL, _TIMEOUT_MS = 0, 8, -1, 10_000


def varint(number: int) -> bytes:
    """Zigzag, seven bits a byte, the lowest first."""
    left, found = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def record(
    value: bytes | None,
    headers: RawHeaders = (),
    *,
    key: bytes | None = b"k",
    offset: int = 0,
    attributes: int = 0,
    after_ms: int = 0,
) -> bytes:
    """`offset` and `after_ms` are relative to the batch."""
    named = list(headers)
    head = bytes([attributes]) + varint(after_ms) + varint(offset) + sized(key) + sized(value)
    body = head + varint(len(named)) + b"".join(sized(name) + sized(held) for name, held in named)
    return varint(len(body)) + body


def batch(records: bytes, count: int = 1, *, codec: int = 0, timestamp_ms: int | None = None) -> bytes:
    """Returns a batch of magic 2. `records` are already compressed by `codec`."""
    first_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
    rest = struct.pack(">hiqqqhii", codec, count - 1, first_ms, first_ms, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, 4 + 1 + 4 + len(rest), -1, 2, calc_crc32c(rest)) + rest


def produce(bootstrap: str, topic: str, data: bytes, partition: int = 0) -> int:
    """Returns the broker's error code; 0 if it has stored the batch."""
    name = _text(topic)
    body = _text(None) + struct.pack(">hii", _ACKS_ALL, _TIMEOUT_MS, 1) + name
    body += struct.pack(">iii", 1, partition, len(data)) + data
    request = struct.pack(">hhi", _PRODUCE, _VERSION, 1) + _text("raw") + body
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), _TIMEOUT_MS / 1000) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        found = answer.read(size)
    # Correlation id, one topic with its name, one partition with its number.
    (error,) = struct.unpack_from(">h", found, 4 + 4 + len(name) + 4 + 4)
    return int(error)


def _text(text: str | None) -> bytes:
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()
