"""The log interface: the part of Kafka that the projector needs, so that SQLite can implement it too.

A log is one topic in numbered partitions. A partition is an append-only sequence of records, numbered
from 0 by their `offset`; offsets may be missing (Kafka uses some for itself). A *position* is the offset
of the next record to read: a projection at position 5 has seen the records 0 to 4.
"""

from collections.abc import Mapping, Sequence, Set
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from msgspec import Struct


class Partition(NamedTuple):
    """Written `orders/0`."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Position(NamedTuple):
    """Written `orders/0@81235`: everything before offset 81235 of that partition."""

    partition: Partition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


# Names may be any bytes, mapped to text by header_names.py.
Headers = tuple[tuple[str, bytes], ...]

# The header of a stand-in for a record that cannot be read; its value is the reason.
UNREADABLE = "kafka-unreadable"


class Record(Struct, frozen=True, gc=False):
    """One record of the log. `timestamp_ms`: set by the log, in Unix milliseconds.

    `epoch`: of the leader that appended it; None for a log without leaders.
    """

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    epoch: int | None = None

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


class Entry(Struct, frozen=True, gc=False):
    """A record to append. The key determines the partition; the log sets offset and timestamp."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Polled(NamedTuple):
    """The result of a poll.

    `assigned`: newly assigned partitions; their records come only after `seek`.
    `revoked`: partitions that are no longer ours. It may come late, and is omitted for one that was assigned again.
    `interrupted`: a connection broke, or the SQLite file changed, so that a backup may have been restored. Then
    `records` is empty, and fetched records are read again.
    """

    assigned: Sequence[Partition]
    records: Sequence[Record]
    revoked: Sequence[Partition] = ()
    interrupted: bool = False


class Loss(StrEnum):
    """Reasons why a rebuild from the log would miss events. The values are arguments of `--accept-loss`.

    RETENTION, COMPACTION: the log's settings drop old events. RECREATED: the log was deleted, and created again under
    the same name without its events.
    """

    RETENTION = "retention"
    COMPACTION = "compaction"
    RECREATED = "recreated"


class Subscription(Protocol):
    """Reads as a member of the projector's consumer group, which assigns partitions.

    Not thread-safe. Reading starts only where the caller seeks: committed offsets are never used.
    """

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Returns as soon as there is something, or empty after `timeout_s`.

        Raises LogUnavailable (retry), LogGap (the position sought no longer exists).
        """

    def seek(self, position: Position) -> None:
        """Makes the next poll read this partition from `position`. Ignored if the partition is no longer ours."""

    def pause(self, partition: Partition) -> None:
        """Stops reading the partition until `seek` is called for it."""

    def mark(self, positions: Mapping[Partition, int]) -> None:
        """Commits the applied offsets to the log, for monitoring tools only. May be late, and ignores errors."""

    def owned(self) -> Set[Partition] | None:
        """Returns our partitions; None while we are not a member of the group."""

    def close(self) -> None: ...


class Reader(Protocol):
    """Reads partitions from given positions, without a consumer group. Not thread-safe."""

    @property
    def positions(self) -> Mapping[Partition, int]:
        """The next offset to read of each partition.

        All earlier offsets were returned, or have no record: transaction markers, aborted transactions, compacted
        records. So positions reach the log's end even if the last offset has no record.
        """

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        """Returns records before `stop` of each partition, in order. Partitions without a stop are not read.

        Returns as soon as there is something; empty after `timeout_s`, or at once if every partition has reached its
        stop. Stops may differ between polls.
        Raises LogUnavailable (retry), LogGap (a position to read from no longer exists), LogCorrupt, LogMissing.
        """

    def close(self) -> None: ...


class Log(Protocol):
    topic: str

    def partitions(self) -> list[Partition]:
        """Returns all partitions. Raises LogMissing, LogUnavailable, like most methods."""

    def first(self) -> dict[Partition, int]:
        """Returns the oldest available offset of each partition; its end where it is empty."""

    def first_times(self) -> dict[Partition, int | None]:
        """Returns the timestamp (Unix ms) of each partition's oldest available record; None where it is empty."""

    def end(self) -> dict[Partition, int]:
        """Returns the offset of the next record of each partition."""

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        """Returns, by partition, how many offsets before `end` cannot be read yet: those from the first record of the
        oldest open transaction on.
        """

    def losses(self) -> dict[Loss, str]:
        """Returns which events the log's settings will drop, each with a message."""

    def create(self) -> bool:
        """Creates the topic, with unlimited retention, if it is missing. Returns whether it did."""

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        """Returns the record at exactly that offset of each partition. None for an offset that retention or compaction
        dropped, that has a transaction marker, or that is past the end. Raises LogMissing, LogUnavailable.
        """

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        """Appends durably. Returns the position after each entry. Keeps the order of entries with equal keys."""

    def subscribe(self) -> Subscription: ...

    def read(self, start: Mapping[Partition, int]) -> Reader:
        """Returns a reader. Raises LogUnavailable, and LogMissing, also for a missing partition."""

    def identity(self) -> str:
        """Returns the log's identity, which changes when a log is deleted and created again under its name.

        Raises LogMissing, LogUnavailable.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
