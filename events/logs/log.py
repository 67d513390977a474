"""The log: what the projector needs of Kafka, and no more, so that SQLite can stand in for it.

A log is one topic in numbered partitions. A partition is an append-only sequence of records, numbered
from 0 by their `offset`; numbers may be missing (Kafka uses some for itself). A *position* is the offset
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


# The names are as events/logs/header_names.py has them, since they may be any bytes.
Headers = tuple[tuple[str, bytes], ...]

# The header of a record that stands for one that cannot be read at all; its value says why.
UNREADABLE = "kafka-unreadable"


class Record(Struct, frozen=True, gc=False):
    """One record as it lies in the log. `timestamp_ms` is the log's own, in Unix milliseconds.

    `epoch`: of the leader that took it; None where a log has no leaders.
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
    """A record to be appended. The key picks the partition; the log sets offset and timestamp."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Polled(NamedTuple):
    """`assigned`: partitions that are new to us; none of their records come before `seek` was called for them.

    `revoked`: partitions that have been taken from us. It may come late, and not at all for one that comes back.
    `interrupted`: what comes next may be of another log than what came before, for a backup may have been restored: a
    connection broke, or an SQLite file has changed. Then no records come, and those that were fetched are read again.
    """

    assigned: Sequence[Partition]
    records: Sequence[Record]
    revoked: Sequence[Partition] = ()
    interrupted: bool = False


class Loss(StrEnum):
    """Why a rebuild from a log would miss something. The values are what `--accept-loss` takes.

    RETENTION and COMPACTION are what the log's settings do to old events; RECREATED is a log that was deleted and made
    anew under the same name, which holds nothing of what the former one held.
    """

    RETENTION = "retention"
    COMPACTION = "compaction"
    RECREATED = "recreated"


class Subscription(Protocol):
    """Reading as a member of the projector's group: the log says which partitions are ours.

    Not thread-safe. Where to read is the caller's business alone: the log's idea of a committed offset
    is never used.
    """

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Returns as soon as there is something, with nothing after `timeout_s`.

        Raises LogUnavailable (retry), LogGap (the position sought no longer exists).
        """

    def seek(self, position: Position) -> None:
        """The next records of this partition start here. Ignored if the partition is no longer ours."""

    def pause(self, partition: Partition) -> None:
        """None of its records come until `seek` is called for it."""

    def mark(self, positions: Mapping[Partition, int]) -> None:
        """Tells the log what has been applied. A courtesy to lag tools: may be late, may fail in silence."""

    def owned(self) -> Set[Partition] | None:
        """The partitions that are ours now; None as long as we are no member of the group."""

    def close(self) -> None: ...


class Reader(Protocol):
    """Reading partitions from given positions, outside any group: the log does not know of it. Not thread-safe."""

    @property
    def positions(self) -> Mapping[Partition, int]:
        """The next offset to read of each partition.

        Everything before has been handed out, or does not exist: transaction markers, aborted transactions, what
        compaction took. So a position comes to the log's end even where the last offset is none of a record.
        """

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        """Records before `stop` of each partition, in order; partitions that `stop` does not name are not read on.

        Returns as soon as there is something, with nothing after `timeout_s`, and at once, with nothing, where every
        partition has reached its stop. A later poll may have other stops.
        Raises LogUnavailable (retry), LogGap (a position to read from no longer exists), LogCorrupt, LogMissing.
        """

    def close(self) -> None: ...


class Log(Protocol):
    topic: str

    def partitions(self) -> list[Partition]:
        """Raises LogMissing, LogUnavailable."""

    def first(self) -> dict[Partition, int]:
        """The oldest offset that can still be read, for each partition; its end where it is empty."""

    def first_times(self) -> dict[Partition, int | None]:
        """The log's own timestamp (Unix ms) of the oldest record that can still be read; None where it is empty."""

    def end(self) -> dict[Partition, int]:
        """The offset that the next record will get, for each partition."""

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        """For each partition, how many offsets before `end` cannot be read yet: those from the first record of the
        oldest open transaction on.
        """

    def losses(self) -> dict[Loss, str]:
        """What the log's settings will have thrown away by the next rebuild, with a sentence each."""

    def create(self) -> bool:
        """Makes the topic, set up to keep every event for ever, if there is none; tells whether it did."""

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        """The record with exactly that offset, of each partition. None where the log has none: retention or compaction
        took it, the offset is a transaction marker's, or it lies behind the end. Raises LogMissing, LogUnavailable.
        """

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        """Returns when all are durable, with the position just behind each. Order is kept within a key."""

    def subscribe(self) -> Subscription: ...

    def read(self, start: Mapping[Partition, int]) -> Reader:
        """Reads nothing yet. Raises LogMissing, also where one of the partitions is not there; LogUnavailable."""

    def identity(self) -> str:
        """Of this log, not of its name: another one for a log that was deleted and created again.

        Raises LogMissing, LogUnavailable.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
