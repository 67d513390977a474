"""A limit on what is parked of each partition: a publisher that sends nothing but poison must not fill Redis.

At the limit the partition pauses at the event that would be parked next: nothing is skipped, its position stays, other
partitions go on. It goes on by itself when there is room, after a redrive, a discard, or with a higher limit.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec
import structlog

from events.log import Partition
from projector.parked.record import now_text
from projector.patience import Insist
from projector.project import Decoded, Fate
from projector.readmodel.generations import PAUSED
from projector.readmodel.keys import Generation
from projector.store.redis import Store

# By default, of each partition.
PARKED_MAX = 10_000

log = structlog.get_logger("projector")


class Cap:
    """`parked_max`: of each partition. `insist` calls until there is an answer."""

    def __init__(self, store: Store, parked_max: int, insist: Insist) -> None:
        self._store = store
        self._insist = insist
        self._parked_max = parked_max
        # How many are parked, or under way to it, at least.
        self._counts: dict[Partition, int] = {}
        # Events of groups with too many orders are found out too late to stop at the first of them: what has grown
        # beyond this by them pauses at its next event.
        self._tolerated: dict[Partition, int] = {}
        self._over: set[Partition] = set()
        self.paused: dict[Partition, int] = {}

    def start(self, generation: Generation, partitions: Collection[Partition]) -> None:
        """They are read from where Redis stands."""
        counts = self._stored(generation, partitions)
        self._counts |= counts
        self._tolerated |= {partition: max(count, self._parked_max) for partition, count in counts.items()}
        self._over.difference_update(partitions)
        for partition in partitions:
            self.paused.pop(partition, None)
        self._unmark(partitions)

    def leave(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._counts.pop(partition, None)
            self.paused.pop(partition, None)

    def admit(self, decoded: Sequence[Decoded], stored: Callable[[], Generation]) -> Sequence[Decoded]:
        """Without what has to wait: then its partition is among `paused`, with the offset that it waits at.

        `stored` returns when all that was admitted before is in that generation.
        """
        if not self.paused and not self._over and all(item.problem is None for item in decoded):
            return decoded
        admitted: list[Decoded] = []
        poison: dict[Partition, int] = {}
        for item in decoded:
            partition = item.record.partition
            if partition in self.paused:
                continue
            counts = item.problem is not None
            if partition in self._over or (counts and self._counts.get(partition, 0) >= self._parked_max):
                # Somebody may have made room.
                self._counts |= self._stored(stored(), [partition])
                found = self._counts[partition] = self._counts[partition] + poison.get(partition, 0)
                if found >= self._parked_max:
                    self._pause(partition, item.record.offset, found)
                    continue
                self._over.discard(partition)
            if counts:
                self._counts[partition] = self._counts.get(partition, 0) + 1
                poison[partition] = poison.get(partition, 0) + 1
            admitted.append(item)
        return admitted

    def look(self, generation: Generation) -> list[Partition]:
        """Returns those that have room again; to be called when all that was admitted is stored, where any pauses."""
        counts = self._stored(generation, self._counts)
        self._over = {p for p, count in counts.items() if count > self._tolerated[p] and p not in self.paused}
        self._counts = {partition: max(count, self._counts[partition]) for partition, count in counts.items()}
        freed = [partition for partition in self.paused if counts[partition] < self._parked_max]
        for partition in freed:
            del self.paused[partition]
            self._counts[partition] = counts[partition]
            log.info("going on: there is room for parked events again", partition=str(partition))
        self._unmark(freed)
        return freed

    def _pause(self, partition: Partition, offset: int, count: int) -> None:
        self.paused[partition] = offset
        log.error(
            "paused: too many parked events. It goes on by itself when there are fewer",
            partition=str(partition),
            at=offset,
            parked=count,
            PARKED_MAX=self._parked_max,
            to_go_on="projector parked list, then redrive or discard; or a higher PARKED_MAX",
        )
        told = {"offset": offset, "parked": count, "parked_max": self._parked_max, "since": now_text()}
        told_as = msgspec.json.encode(told)
        self._insist(lambda: self._store.nodes.keep_book(PAUSED, "HSET", PAUSED, str(partition), told_as))

    def _unmark(self, partitions: Collection[Partition]) -> None:
        if partitions:
            names = [str(partition) for partition in partitions]
            self._insist(lambda: self._store.nodes.keep_book(PAUSED, "HDEL", PAUSED, *names))

    def _stored(self, generation: Generation, partitions: Collection[Partition]) -> dict[Partition, int]:
        counts = dict.fromkeys(partitions, 0)
        for shard in range(generation.shards if counts else 0):
            found = self._insist(partial(self._store.tallied, generation, shard, list(counts), Fate.PARKED))
            for partition, parked in zip(counts, found, strict=True):
                counts[partition] += parked
        return counts
