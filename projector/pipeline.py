"""Overlaps three batches into one generation: Redis writes one, the next is projected, and the groups of a third load.

Redis is single-threaded: it reads the third batch's groups between the commits of the first and the second.

A batch is projected from groups that are not stored yet. That is safe: it is sent only after the previous batch is
stored, and the script compares the revision of every group. A wrong assumption is refused as CHANGED.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import structlog

from events.logs.log import Partition
from projector.anchors import newest_anchors
from projector.batches import commits
from projector.cache import Cache
from projector.control import Closed, Rejoin, Rewind
from projector.flight import Flight, Loading, Projected, Tally
from projector.parked.record import now_text
from projector.project import Decoded, Known, Stored, group_ids, project
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.commit import Advance, Outcome
from projector.store.pending import PendingCommit, PendingLoad
from projector.store.redis import Store
from projector.store.request import request
from projector.trail import Trail

log = structlog.get_logger("projector")


class Pipeline:
    """Every method except the properties, `lowest` and `highest` raises what `retry` raises.

    `on_parked` receives the records of a commit that will be parked, before the commit is sent; a record may come more
    than once. `on_stored` receives the tally of each stored part of a batch.
    """

    def __init__(
        self,
        store: Store,
        generation: Generation,
        retry: Retry,
        on_parked: Callable[[Mapping[str, bytes]], None] = lambda parked: None,
        on_stored: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self.generation = generation
        self._store = store
        self._retry = retry
        self._on_parked = on_parked
        self._on_stored = on_stored
        self._cache = Cache()
        # Stored positions, by shard; None where nothing of the partition has been applied yet.
        self._positions: list[dict[Partition, int | None]] = [{} for _ in range(generation.shards)]
        self._trail = Trail(generation.shards)
        self._loading: Loading | None = None
        self._flights: list[Flight] = []

    def start(self, partitions: Sequence[Partition]) -> None:
        """Completes commits that were left half written, then reads the positions from Redis."""
        for shard, positions in enumerate(self._positions):
            self._retry(partial(self._store.finish, self.generation, shard))
            stored = self._retry(partial(self._store.positions_and_anchors, self.generation, shard, partitions))
            positions.update(self._trail.start(shard, partitions, stored))

    @property
    def partitions(self) -> list[Partition]:
        """All partitions that were ever started."""
        return list(self._positions[0])

    @property
    def busy(self) -> bool:
        return self._loading is not None or bool(self._flights)

    @property
    def oldest(self) -> Sequence[Decoded]:
        """The oldest batch that is not stored, or one shard's part of it."""
        if self._flights:
            return self._flights[0].projected.items
        return self._loading.decoded if self._loading else ()

    def lowest(self, partition: Partition) -> int:
        """The position that every shard has stored."""
        return min(positions[partition] or 0 for positions in self._positions)

    def highest(self, partition: Partition) -> int:
        return max(positions[partition] or 0 for positions in self._positions)

    def check(self) -> None:
        """Raises Rewind where Redis has lost writes. While no records come, nothing else finds that out."""
        live = self._retry(self._store.catalogue.live)
        if live != self.generation:
            raise Rewind("generation" if live else "lost_writes")
        for shard, positions in enumerate(self._positions):
            if not positions:
                continue
            # A redrive may have left a commit half written.
            self._retry(partial(self._store.finish, self.generation, shard))
            stored = self._retry(partial(self._store.positions, self.generation, shard, list(positions)))
            if any((now or 0) < (known or 0) for now, known in zip(stored, positions.values(), strict=True)):
                raise Rewind("lost_writes")

    def discard(self) -> None:
        """Drops all unstored batches. The next pipeline starts at Redis' positions."""
        flights, self._flights = self._flights, []
        loading, self._loading = self._loading, None
        for flight in flights:
            flight.sent.discard()
        for load in loading.loads if loading else ():
            load.discard()

    def push(self, decoded: Sequence[Decoded]) -> None:
        """Takes a batch, or none, and advances the batches before it. Raises Rewind, Rejoin, Closed."""
        projected = self._project_loading()
        if decoded:
            # Requested before we wait: Redis reads the groups between two commits.
            self._loading = Loading(decoded, self._start_loads(decoded, projected))
        self._await_commits()
        self._send(projected)

    def flush(self) -> None:
        """Returns when all batches are stored. Raises as `push`."""
        while self.busy:
            self.push(())

    def _project_loading(self) -> list[Projected]:
        """Projects the batch that was loading. Where it takes several commits, sends all but the last."""
        if self._loading is None:
            return []
        decoded, stored = self._loading.decoded, dict[str, Stored | None]()
        for load in self._loading.loads:
            stored |= self._retry(load.groups)
        self._loading = None
        *earlier, last = commits(decoded, partial(self._size, stored))
        for part in earlier:
            projected = self._project_all(part, stored)
            self._await_commits()
            self._send(projected)
        return self._project_all(last, stored)

    def _size(self, stored: Mapping[str, Stored | None], group_id: str) -> int:
        """Returns the bytes of the group's record; 0 where it is neither in flight nor cached nor in `stored`."""
        in_flight = (flight.projected.after.get(group_id) for flight in self._flights)
        if known := next(filter(None, in_flight), None) or self._cache.get(group_id):
            return known.size
        return len(found.record) if (found := stored.get(group_id)) else 0

    def _start_loads(self, decoded: Sequence[Decoded], projected: Iterable[Projected]) -> list[PendingLoad]:
        unstored = [flight.projected.after for flight in self._flights]
        unstored += [part.after for part in projected]
        missing: dict[int, list[str]] = {}
        for group_id in group_ids(decoded):
            if group_id not in self._cache and not any(group_id in after for after in unstored):
                missing.setdefault(self.generation.shard_of(group_id), []).append(group_id)
        return [self._store.start_load(self.generation, shard, ids) for shard, ids in missing.items()]

    def _project_all(self, decoded: Sequence[Decoded], stored: Mapping[str, Stored | None]) -> list[Projected]:
        """Returns the part of each shard that has not applied the batch yet."""
        found = []
        anchors = newest_anchors(item.record for item in decoded)
        stops = {partition: anchor.offset + 1 for partition, anchor in anchors.items()}
        for shard in range(self.generation.shards):
            # Once everything in flight is stored.
            starts = dict(self._positions[shard])
            for flight in self._flights:
                if flight.projected.shard == shard:
                    starts.update((partition, advance.stop) for partition, advance in flight.projected.advances.items())
            if advances := self._trail.advances(shard, starts, stops, anchors):
                items = self._items_of(shard, starts, decoded)
                found.append(self._project(shard, items, advances, self._known(shard, items, stored)))
        return found

    def _items_of(
        self, shard: int, starts: Mapping[Partition, int | None], decoded: Sequence[Decoded]
    ) -> Sequence[Decoded]:
        """Returns the shard's records from `starts` on. Records without a group are counted, and parked, in shard 0."""
        fresh = [item for item in decoded if item.record.offset >= (starts[item.record.partition] or 0)]
        if self.generation.shards == 1:
            return fresh
        shard_of = self.generation.shard_of
        return [item for item in fresh if (shard_of(item.event.group_id) if item.event else 0) == shard]

    def _known(self, shard: int, items: Sequence[Decoded], stored: Mapping[str, Stored | None]) -> dict[str, Known]:
        """Returns the groups of `items`: from what is in flight, else the cache, else `stored`, else Redis."""
        ids = group_ids(items)
        taken = {group_id: found for group_id in ids if (found := self._take(group_id))}
        return taken | self._load_known(shard, [group_id for group_id in ids if group_id not in taken], stored)

    def _take(self, group_id: str) -> Known | None:
        for flight in self._flights:
            if group_id in flight.projected.after:
                return flight.projected.after.pop(group_id)
        return self._cache.take(group_id)

    def _load_known(
        self, shard: int, ids: Sequence[str], stored: Mapping[str, Stored | None] = MappingProxyType({})
    ) -> dict[str, Known]:
        found = {group_id: stored[group_id] for group_id in ids if group_id in stored}
        if missing := [group_id for group_id in ids if group_id not in found]:
            found |= self._retry(partial(self._store.load, self.generation, shard, missing))
        known: dict[str, Known] = self._retry(partial(self._store.known, self.generation, shard, found))
        return known

    def _project(
        self, shard: int, items: Sequence[Decoded], advances: Mapping[Partition, Advance], before: Mapping[str, Known]
    ) -> Projected:
        change = project(before, items, now_text())
        return Projected(shard, items, advances, request(change, advances), change.after, change.parked, change.tally)

    def _send(self, projected: Iterable[Projected]) -> None:
        self._flights += [Flight(part, self._commit(part)) for part in projected]

    def _commit(self, part: Projected) -> PendingCommit:
        if part.parked:
            self._on_parked(part.parked)
        return self._store.commit(self.generation, part.shard, part.request)

    def _await_commits(self) -> None:
        """Waits until everything in flight is stored."""
        while self._flights:
            # Removed first: after a control signal, `discard` drops the others.
            flight = self._flights.pop(0)
            part, outcome = flight.projected, self._retry(flight.sent.outcome)
            # Sent again whole, even if other writers made its groups larger than one commit may rewrite.
            while outcome in (Outcome.CHANGED, Outcome.TAKEN):
                if outcome is Outcome.TAKEN:
                    self._store.ordinals.drop(self.generation, part.shard)
                before = self._load_known(part.shard, group_ids(part.items))
                part = self._project(part.shard, part.items, part.advances, before)
                outcome = self._retry(self._commit(part).outcome)
            self._handle(part, outcome)

    def _handle(self, part: Projected, outcome: Outcome) -> None:
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                self._positions[part.shard].update((p, advance.stop) for p, advance in part.advances.items())
                self._cache.put(part.after)
                self._on_stored(part.tally)
            case Outcome.BEHIND:
                raise Rewind("lost_writes")
            case Outcome.AHEAD:
                log.warning("another process wrote one of our partitions: rejoining the group", shard=part.shard)
                raise Rejoin
            case Outcome.SEALED:
                log.info("the generation is closed: waiting for its successor", generation=self.generation.number)
                raise Closed
