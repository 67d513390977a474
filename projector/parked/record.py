"""Parked records: those that could not be applied, kept until an operator decides."""

import re
import zlib
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct, structs

from events.errors import InvalidEvent
from events.logs.log import Log, Partition, Record
from projector.errors import BadSetting, FatalError
from projector.readmodel.schema.parked import Compressed, StoredParked

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"(?P<topic>.+)/(?P<number>[0-9]{1,10})@(?P<offset>[0-9]{1,19})")

# Values from this size on are compressed, if that saves at least a fifth.
COMPRESSED_MIN = 4096


class Parked(StoredParked, frozen=True, kw_only=True):
    """A parked record as the projector uses it."""

    @property
    def value(self) -> bytes | None:
        """The value as read from the log. Raises FatalError where it cannot be decompressed."""
        try:
            return self.uncompressed()
        except zlib.error as error:
            raise FatalError(f"the parked event {self.position} in Redis is damaged: {error}") from None

    @property
    def record(self) -> Record:
        """The record as read from the log."""
        partition = Partition(self.topic, self.partition)
        return Record(partition, self.offset, self.timestamp_ms, self.key, self.value, self.headers)


class _Counted(Struct, frozen=True):
    counted: int = 0


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Parked)
_counted_decoder = msgspec.json.Decoder(_Counted)


def decode(position: str, stored: bytes) -> Parked:
    """Decodes stored JSON. Raises FatalError where it is damaged."""
    try:
        return _decoder.decode(stored)
    except msgspec.DecodeError as error:
        raise FatalError(f"the parked event {position} in Redis is damaged: {error}") from None


def encode(parked: Parked) -> bytes:
    """Returns the JSON to store, with `counted` set."""
    size = len(parked.position) + len(_encode(structs.replace(parked, counted=0)))
    return _encode(structs.replace(parked, counted=size))


def shown(parked: Parked) -> bytes:
    """Returns JSON with the uncompressed value."""
    return _encode(structs.replace(parked, kept=parked.value))


def counted(stored: bytes) -> int:
    """Returns the bytes of an encoded record that count against the limit."""
    return _counted_decoder.decode(stored).counted


def from_log(parked: Parked, log: Log) -> Parked | None:
    """Returns the record with its payload, read from the log if Redis has none; None if the log has lost it.

    Raises LogMissing, LogUnavailable.
    """
    if parked.with_payload:
        return parked
    partition = Partition(parked.topic, parked.partition)
    found = log.at({partition: parked.offset})[partition]
    return structs.replace(parked, key=found.key, kept=found.value, headers=found.headers) if found else None


def parked(record: Record, problem: InvalidEvent, now: str | None, with_payload: bool = True) -> bytes:
    """Returns the JSON to store for a record. `now`: RFC 3339."""
    return encode(
        Parked(
            topic=record.partition.topic,
            partition=record.partition.number,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            time=_time_text(record.timestamp_ms),
            reason=str(problem),
            key=record.key if with_payload else None,
            kept=_compressed(record.value) if with_payload else None,
            headers=record.headers if with_payload else (),
            parked_at=now,
            with_payload=with_payload,
        )
    )


def _compressed(value: bytes | None) -> bytes | Compressed | None:
    if value is None or len(value) < COMPRESSED_MIN:
        return value
    # The fastest level, so that many broken events do not delay good ones.
    small = zlib.compress(value, 1)
    return Compressed(small) if len(small) < len(value) * 4 // 5 else value


def parse_position(position: str) -> tuple[Partition, int]:
    """Returns partition and offset of `orders/0@17`; also the sort key of positions. Raises BadSetting."""
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
