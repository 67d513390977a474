"""A record that could not be applied, as it is kept until somebody decides what becomes of it."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from events.errors import InvalidEvent
from events.log import Headers, Partition, Record
from projector.errors import BadSetting, CannotGoOn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"(?P<topic>.+)/(?P<number>[0-9]{1,10})@(?P<offset>[0-9]{1,19})")


class Parked(Struct, frozen=True, kw_only=True):
    """In JSON `key`, `value` and the header values are base64.

    `time`: RFC 3339 of `timestamp_ms`, the log's own; None where that is outside the years 1 to 9999.
    `parked_at`: when we did; None where an earlier release parked it. `attempts`: how often it was tried to apply it.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    time: str | None
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    parked_at: str | None = None
    attempts: int = 1

    @property
    def position(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def record(self) -> Record:
        """As it was read from the log."""
        partition = Partition(self.topic, self.partition)
        return Record(partition, self.offset, self.timestamp_ms, self.key, self.value, self.headers)


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Parked)


def decode(position: str, stored: bytes) -> Parked:
    """Raises CannotGoOn for what we have not written."""
    try:
        return _decoder.decode(stored)
    except msgspec.DecodeError as error:
        raise CannotGoOn(f"what is parked as {position} in Redis is damaged: {error}") from None


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
            value=record.value,
            headers=record.headers,
            parked_at=now,
        )
    )


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
