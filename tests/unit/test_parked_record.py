"""The stored form of parked records: compression, counted bytes, and earlier releases."""

import base64
import json
import random
import zlib

import msgspec
import pytest

from events.errors import InvalidEvent
from events.logs.log import Partition, Record
from projector.parked.record import counted, decode, parked

PROBLEM = InvalidEvent("$.id", "required, got nothing")
NOISE = random.Random(1).randbytes(100_000)
TEXT = b'{"number": 12345, "text": "the same again and again"}' * 2000


def stored(value: bytes | None) -> bytes:
    record = Record(Partition("orders", 0), 17, 1_780_308_000_000, b"key", value, (("trace", b"\xff"),))
    found = parked(record, PROBLEM, "2026-06-01T10:00:00.000+00:00")
    assert decode("orders/0@17", found).record == record
    assert counted(found) == len("orders/0@17") + len(found) - len(str(counted(found))) + 1
    return found


@pytest.mark.parametrize("value", [None, b"", b"bad", TEXT[:4095], NOISE])
def test_small_or_incompressible_values_are_not_compressed(value: bytes | None) -> None:
    found = json.loads(stored(value))["value"]
    assert found is None if value is None else base64.b64decode(found) == value


@pytest.mark.parametrize("value", [TEXT[:4096], TEXT])
def test_compressible_values_are_compressed(value: bytes) -> None:
    found = json.loads(stored(value))["value"]
    assert list(found) == ["zlib"]
    assert zlib.decompress(base64.b64decode(found["zlib"])) == value
    assert len(stored(value)) < len(value)


class EarlierRelease(msgspec.Struct):
    """The struct of a release without compression, which writes back what it has read."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


def test_an_earlier_release_refuses_only_compressed_records() -> None:
    assert msgspec.json.decode(stored(NOISE), type=EarlierRelease).value == NOISE
    with pytest.raises(msgspec.ValidationError, match=r"\$\.value"):
        msgspec.json.decode(stored(TEXT), type=EarlierRelease)
