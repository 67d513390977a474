"""Limits on what is parked of each partition: a publisher that sends nothing but poison must not fill Redis.

At a limit, of records or of bytes, the partition pauses at the event that would be parked next: nothing is skipped, its
position stays, other partitions go on. It goes on by itself when there is room, after a redrive, a discard, or with a
higher limit.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec
import structlog
from msgspec import Struct, structs

from events.logs.log import Partition
from projector.parked.record import counted, now_text, parked
from projector.project import PARKED_BYTES, Decoded, Fate
from projector.readmodel.schema.generations import PAUSED
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.redis import Store

# By default, of each partition.
PARKED_MAX = 10_000
PARKED_BYTES_MAX = 256 * 1024 * 1024

log = structlog.get_logger("projector")


class Amount(Struct, frozen=True):
    """How much of a partition is parked."""

    records: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.records + other.records, self.bytes + other.bytes)

    def highest(self, other: "Amount") -> "Amount":
        """The higher number of records, and the higher number of bytes."""
        return Amount(max(self.records, other.records), max(self.bytes, other.bytes))

    def beyond(self, other: "Amount") -> bool:
        return self.records > other.records or self.bytes > other.bytes


NOTHING = Amount()


class Limits(Struct, frozen=True):
    """Of each partition."""

    parked_max: int = PARKED_MAX
    parked_bytes_max: int = PARKED_BYTES_MAX

    def exceeded_by(self, parked: Amount) -> str | None:
        """The setting of the limit that is exceeded, if one is."""
        if parked.records > self.parked_max:
            return "PARKED_MAX"
        return "PARKED_BYTES_MAX" if parked.bytes > self.parked_bytes_max else None


class Cap:
    """`retry` calls until there is an answer."""

    def __init__(self, store: Store, limits: Limits, retry: Retry) -> None:
        self._store = store
        self._retry = retry
        self._limits = limits
        # What is parked, or under way to it, at least.
        self._parked: dict[Partition, Amount] = {}
        # Events of groups with too many orders are found out too late to stop at the first of them: what has grown
        # beyond this by them pauses at its next event.
        self._tolerated: dict[Partition, Amount] = {}
        self._over: set[Partition] = set()
        self.paused: dict[Partition, int] = {}
        # For each of these, what its next event needs room for.
        self._needed: dict[Partition, Amount] = {}
        # How many bytes are parked, as of the last look.
        self.bytes: dict[Partition, int] = {}

    def start(self, generation: Generation, partitions: Collection[Partition]) -> None:
        """They are read from where Redis stands."""
        stored = self._stored(generation, partitions)
        limits = Amount(self._limits.parked_max, self._limits.parked_bytes_max)
        self._parked |= stored
        self._tolerated |= {partition: found.highest(limits) for partition, found in stored.items()}
        self._over.difference_update(partitions)
        for partition in partitions:
            self.paused.pop(partition, None)
        self._unmark(partitions)

    def leave(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._parked.pop(partition, None)
            self.paused.pop(partition, None)

    def admit(self, decoded: Sequence[Decoded], stored: Callable[[], Generation]) -> Sequence[Decoded]:
        """Without what has to wait: then its partition is among `paused`, with the offset that it waits at.

        `stored` returns when all that was admitted before is in that generation.
        """
        if not self.paused and not self._over and all(item.problem is None for item in decoded):
            return decoded
        admitted: list[Decoded] = []
        poison: dict[Partition, Amount] = {}
        for item in decoded:
            partition = item.record.partition
            if partition in self.paused:
                continue
            one = _amount(item)
            expected = self._parked.get(partition, NOTHING) + one
            if partition in self._over or (item.problem is not None and self._limits.exceeded_by(expected)):
                # Somebody may have made room.
                found = self._stored(stored(), [partition])[partition] + poison.get(partition, NOTHING)
                self._parked[partition] = found
                if limit := self._limits.exceeded_by(found + one):
                    self._needed[partition] = one
                    self._pause(partition, item.record.offset, found, limit)
                    continue
                self._over.discard(partition)
            self._parked[partition] = self._parked.get(partition, NOTHING) + one
            poison[partition] = poison.get(partition, NOTHING) + one
            admitted.append(item)
        return admitted

    def look(self, generation: Generation) -> list[Partition]:
        """Returns those that have room again; to be called when all that was admitted is stored, where any pauses."""
        stored = self._stored(generation, self._parked)
        self.bytes = {partition: found.bytes for partition, found in stored.items()}
        self._over = {p for p, found in stored.items() if found.beyond(self._tolerated[p]) and p not in self.paused}
        self._parked = {partition: found.highest(self._parked[partition]) for partition, found in stored.items()}
        freed = [one for one in self.paused if not self._limits.exceeded_by(stored[one] + self._needed[one])]
        for partition in freed:
            del self.paused[partition]
            self._parked[partition] = stored[partition]
            log.info("going on: there is room for parked events again", partition=str(partition))
        self._unmark(freed)
        return freed

    def _pause(self, partition: Partition, offset: int, found: Amount, limit: str) -> None:
        self.paused[partition] = offset
        log.error(
            "paused: too many parked events. It goes on by itself when there are fewer",
            partition=str(partition),
            at=offset,
            parked=found.records,
            bytes=found.bytes,
            limit=limit,
            PARKED_MAX=self._limits.parked_max,
            PARKED_BYTES_MAX=self._limits.parked_bytes_max,
            to_go_on=f"projector parked list, then redrive or discard; or a higher {limit}",
        )
        told = {
            "offset": offset,
            "parked": found.records,
            "bytes": found.bytes,
            "limit": limit,
            **structs.asdict(self._limits),
            "since": now_text(),
        }
        told_as = msgspec.json.encode(told)
        self._retry(lambda: self._store.nodes.keep_book(PAUSED, "HSET", PAUSED, str(partition), told_as))

    def _unmark(self, partitions: Collection[Partition]) -> None:
        if partitions:
            names = [str(partition) for partition in partitions]
            self._retry(lambda: self._store.nodes.keep_book(PAUSED, "HDEL", PAUSED, *names))

    def _stored(self, generation: Generation, partitions: Collection[Partition]) -> dict[Partition, Amount]:
        found = dict.fromkeys(partitions, NOTHING)
        for shard in range(generation.shards if found else 0):
            names = [f"{partition}:{what}" for what in (Fate.PARKED, PARKED_BYTES) for partition in found]
            numbers = self._retry(partial(self._store.tallied, generation, shard, names))
            for i, partition in enumerate(found):
                found[partition] += Amount(numbers[i], numbers[len(found) + i])
        return found


def _amount(item: Decoded) -> Amount:
    """What it adds to the parked ones, as far as that is known before it is projected."""
    if item.problem is None:
        return NOTHING
    return Amount(1, counted(parked(item.record, item.problem, now_text())))
