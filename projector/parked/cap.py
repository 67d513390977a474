"""Limits the parked records and bytes of each partition, so that a broken publisher cannot fill Redis.

At a limit, the partition pauses at the event that would be parked next: nothing is skipped, its position stays, other
partitions continue. It resumes by itself when there is room: after a redrive, a discard, or with a higher limit.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec
import structlog
from msgspec import Struct, structs

from events.logs.log import Partition
from projector.parked.record import counted, now_text, parked
from projector.project import Decoded
from projector.readmodel.schema.generations import PAUSED
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.tally import PARKED_BYTES, Fate
from projector.retry import Retry
from projector.store.redis import Store

# Defaults, per partition.
PARKED_MAX = 10_000
PARKED_BYTES_MAX = 256 * 1024 * 1024

log = structlog.get_logger("projector")


class Amount(Struct, frozen=True):
    """The number and the total size of parked records."""

    records: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.records + other.records, self.bytes + other.bytes)

    def highest(self, other: "Amount") -> "Amount":
        """Returns the maximum of each field."""
        return Amount(max(self.records, other.records), max(self.bytes, other.bytes))

    def exceeds(self, other: "Amount") -> bool:
        return self.records > other.records or self.bytes > other.bytes


NOTHING = Amount()


class Limits(Struct, frozen=True):
    """Limits of each partition."""

    parked_max: int = PARKED_MAX
    parked_bytes_max: int = PARKED_BYTES_MAX

    def exceeded_by(self, parked: Amount) -> str | None:
        """Returns the setting of the exceeded limit, or None."""
        if parked.records > self.parked_max:
            return "PARKED_MAX"
        return "PARKED_BYTES_MAX" if parked.bytes > self.parked_bytes_max else None


class Cap:
    """Pauses partitions at the limits. Methods raise what `retry` raises."""

    def __init__(self, store: Store, limits: Limits, retry: Retry) -> None:
        self._store = store
        self._retry = retry
        self._limits = limits
        # Parked records, including those in the pipeline; a lower bound.
        self._parked: dict[Partition, Amount] = {}
        # An event of a full group turns out to be unparkable only in the fold, after `admit`. A partition whose parked
        # records exceed this amount because of such events pauses at its next event.
        self._tolerated: dict[Partition, Amount] = {}
        self._over: set[Partition] = set()
        self.paused: dict[Partition, int] = {}
        # The room that the next event of each paused partition needs.
        self._needed: dict[Partition, Amount] = {}
        # Parked bytes, as of the last `refresh`.
        self.bytes: dict[Partition, int] = {}

    def start(self, generation: Generation, partitions: Collection[Partition]) -> None:
        """Reading of `partitions` begins at Redis' positions."""
        stored = self._stored(generation, partitions)
        limits = Amount(self._limits.parked_max, self._limits.parked_bytes_max)
        self._parked |= stored
        self._tolerated |= {partition: found.highest(limits) for partition, found in stored.items()}
        self._over.difference_update(partitions)
        for partition in partitions:
            self.paused.pop(partition, None)
        self._unmark(partitions)

    def revoke(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._parked.pop(partition, None)
            self.paused.pop(partition, None)

    def admit(self, decoded: Sequence[Decoded], stored: Callable[[], Generation]) -> Sequence[Decoded]:
        """Returns the records that need not wait. For others, `paused` has the partition and the offset it waits at.

        `stored` returns the generation once everything admitted before is stored in it.
        """
        if not self.paused and not self._over and all(item.problem is None for item in decoded):
            return decoded
        admitted: list[Decoded] = []
        poison: dict[Partition, Amount] = {}
        for item in decoded:
            partition = item.record.partition
            if partition in self.paused:
                continue
            item = _rendered(item)
            one = NOTHING if item.parked is None else Amount(1, counted(item.parked))
            expected = self._parked.get(partition, NOTHING) + one
            if partition in self._over or (item.problem is not None and self._limits.exceeded_by(expected)):
                # An operator may have made room.
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

    def refresh(self, generation: Generation) -> list[Partition]:
        """Resumes and returns partitions with room. While any is paused, everything admitted must be stored before."""
        stored = self._stored(generation, self._parked)
        self.bytes = {partition: found.bytes for partition, found in stored.items()}
        self._over = {p for p, found in stored.items() if found.exceeds(self._tolerated[p]) and p not in self.paused}
        self._parked = {partition: found.highest(self._parked[partition]) for partition, found in stored.items()}
        freed = [one for one in self.paused if not self._limits.exceeded_by(stored[one] + self._needed[one])]
        for partition in freed:
            del self.paused[partition]
            self._parked[partition] = stored[partition]
            log.info("resumed: there is room for parked events again", partition=str(partition))
        self._unmark(freed)
        return freed

    def _pause(self, partition: Partition, offset: int, found: Amount, limit: str) -> None:
        self.paused[partition] = offset
        log.error(
            "paused: too many parked events. Resumes by itself when there are fewer",
            partition=str(partition),
            at=offset,
            parked=found.records,
            bytes=found.bytes,
            limit=limit,
            PARKED_MAX=self._limits.parked_max,
            PARKED_BYTES_MAX=self._limits.parked_bytes_max,
            remedy=f"projector parked list, then redrive or discard; or a higher {limit}",
        )
        entry = {
            "offset": offset,
            "parked": found.records,
            "bytes": found.bytes,
            "limit": limit,
            **structs.asdict(self._limits),
            "since": now_text(),
        }
        stored = msgspec.json.encode(entry)
        self._retry(lambda: self._store.nodes.write_even_if_full(PAUSED, "HSET", PAUSED, str(partition), stored))

    def _unmark(self, partitions: Collection[Partition]) -> None:
        if partitions:
            names = [str(partition) for partition in partitions]
            self._retry(lambda: self._store.nodes.write_even_if_full(PAUSED, "HDEL", PAUSED, *names))

    def _stored(self, generation: Generation, partitions: Collection[Partition]) -> dict[Partition, Amount]:
        found = dict.fromkeys(partitions, NOTHING)
        for shard in range(generation.shards if found else 0):
            names = [f"{partition}:{what}" for what in (Fate.PARKED, PARKED_BYTES) for partition in found]
            numbers = self._retry(partial(self._store.tallied, generation, shard, names))
            for i, partition in enumerate(found):
                found[partition] += Amount(numbers[i], numbers[len(found) + i])
        return found


def _rendered(item: Decoded) -> Decoded:
    """Adds the stored form of a bad event, whose size is needed here; `project` uses it too."""
    if item.problem is None:
        return item
    return structs.replace(item, parked=parked(item.record, item.problem, now_text(), item.with_payload))
