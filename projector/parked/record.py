"""A record that could not be applied, as it is kept until somebody decides what becomes of it."""

import re
import zlib
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct, field, structs

from events.errors import InvalidEvent
from events.logs.log import Headers, Partition, Record
from projector.errors import BadSetting, CannotGoOn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"(?P<topic>.+)/(?P<number>[0-9]{1,10})@(?P<offset>[0-9]{1,19})")

# Values of at least so many bytes are compressed, if that makes them smaller by a fifth.
COMPRESSED_MIN = 4096


class Compressed(Struct, frozen=True):
    """A value as it is kept where that is smaller. An object in JSON, not a string: an earlier release, which knows of
    no compression, refuses it, instead of taking it for the value and writing it back as such.
    """

    zlib: bytes


class Parked(Struct, frozen=True, kw_only=True):
    """In JSON `key`, `value` and the header values are base64. `kept` is `value` as it is stored.

    `time`: RFC 3339 of `timestamp_ms`, the log's own; None where that is outside the years 1 to 9999.
    `parked_at`: when we did; None where an earlier release parked it. `attempts`: how often it was tried to apply it.
    `counted`: the bytes that count for it against the limit, about what it takes in Redis; 0 where an earlier release
    parked it.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    time: str | None
    reason: str
    key: bytes | None
    kept: bytes | Compressed | None = field(name="value")
    headers: Headers
    parked_at: str | None = None
    attempts: int = 1
    counted: int = 0

    @property
    def position(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def partition_name(self) -> str:
        return f"{self.topic}/{self.partition}"

    @property
    def value(self) -> bytes | None:
        """As it was read from the log. Raises CannotGoOn where it cannot be decompressed."""
        if not isinstance(self.kept, Compressed):
            return self.kept
        try:
            return zlib.decompress(self.kept.zlib)
        except zlib.error as error:
            raise CannotGoOn(f"what is parked as {self.position} in Redis is damaged: {error}") from None

    @property
    def record(self) -> Record:
        """As it was read from the log."""
        partition = Partition(self.topic, self.partition)
        return Record(partition, self.offset, self.timestamp_ms, self.key, self.value, self.headers)


class _Counted(Struct, frozen=True):
    counted: int = 0


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Parked)
_counted_decoder = msgspec.json.Decoder(_Counted)


def decode(position: str, stored: bytes) -> Parked:
    """Raises CannotGoOn for what we have not written."""
    try:
        return _decoder.decode(stored)
    except msgspec.DecodeError as error:
        raise CannotGoOn(f"what is parked as {position} in Redis is damaged: {error}") from None


def encode(parked: Parked) -> bytes:
    """As it is stored."""
    size = len(parked.position) + len(_encode(structs.replace(parked, counted=0)))
    return _encode(structs.replace(parked, counted=size))


def shown(parked: Parked) -> bytes:
    """JSON with the value as it was read from the log."""
    return _encode(structs.replace(parked, kept=parked.value))


def counted(stored: bytes) -> int:
    """The bytes that count for what `encode` made, against the limit."""
    return _counted_decoder.decode(stored).counted


def parked(record: Record, problem: InvalidEvent, now: str | None) -> bytes:
    return encode(
        Parked(
            topic=record.partition.topic,
            partition=record.partition.number,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            time=_time_text(record.timestamp_ms),
            reason=str(problem),
            key=record.key,
            kept=_compressed(record.value),
            headers=record.headers,
            parked_at=now,
        )
    )


def _compressed(value: bytes | None) -> bytes | Compressed | None:
    if value is None or len(value) < COMPRESSED_MIN:
        return value
    # The fastest level: many broken events must not slow down the good ones.
    small = zlib.compress(value, 1)
    return Compressed(small) if len(small) < len(value) * 4 // 5 else value


def place(position: str) -> tuple[Partition, int]:
    """Partition and offset of `orders/0@17`; what such places are sorted by. Raises BadSetting."""
    match = _POSITION.fullmatch(position)
    if match is None:
        raise BadSetting(f"expected the position of a parked event such as orders/0@17, got {position!r}")
    return Partition(match["topic"], int(match["number"])), int(match["offset"])


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _time_text(unix_ms: int) -> str | None:
    try:
        return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return None
