"""Batches on their way into one generation, three at a time: while Redis writes one, the next is projected, and the
groups of the one after that are asked for, to be read between the two scripts: Redis does one thing at a time.

What is projected builds on what is still being written. That is safe: it is sent only when the former is stored, and
the script compares the revision of every group, so that whatever was assumed wrongly is refused as CHANGED.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import structlog

from events.logs.log import Partition
from projector.anchors import newest
from projector.batches import commits
from projector.cache import Cache
from projector.control import Closed, Rejoin, Rewind
from projector.flight import Flight, Next, Projected, Tally
from projector.parked.record import now_text
from projector.project import Decoded, Known, group_ids, known, project
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.commit import Advance, Outcome, request
from projector.store.redis import Store
from projector.store.sent import Asked
from projector.trail import Trail

log = structlog.get_logger("projector")


class Pipeline:
    """`retry` calls until there is an answer. Every method but `lowest` raises what it raises.

    `on_parked` gets what is about to be committed as parked, some of it perhaps more than once. `stored` is told what
    became of each shard's part of a batch.
    """

    def __init__(
        self,
        store: Store,
        generation: Generation,
        retry: Retry,
        on_parked: Callable[[Mapping[str, bytes]], None] = lambda parked: None,
        stored: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self._stored = stored
        self.generation = generation
        self._store = store
        self._retry = retry
        self._on_parked = on_parked
        self._cache = Cache()
        # For each shard, what is stored; None where nothing of the partition has been applied yet.
        self._stands: list[dict[Partition, int | None]] = [{} for _ in range(generation.shards)]
        self._trail = Trail(generation.shards)
        self._next: Next | None = None
        self._flights: list[Flight] = []

    def start(self, partitions: Sequence[Partition]) -> None:
        """Finishes what a commit has left half written, then reads where Redis stands."""
        for shard, stands in enumerate(self._stands):
            self._retry(partial(self._store.finish, self.generation, shard))
            found = self._retry(partial(self._store.stands, self.generation, shard, partitions))
            stands.update(self._trail.start(shard, partitions, found))

    @property
    def partitions(self) -> list[Partition]:
        """All that were ever started."""
        return list(self._stands[0])

    @property
    def busy(self) -> bool:
        return self._next is not None or bool(self._flights)

    @property
    def oldest(self) -> Sequence[Decoded]:
        """The batch that has been under way for longest, or what one shard has to do of it."""
        if self._flights:
            return self._flights[0].projected.items
        return self._next.decoded if self._next else ()

    def lowest(self, partition: Partition) -> int:
        """What every shard has stored."""
        return min(stands[partition] or 0 for stands in self._stands)

    def highest(self, partition: Partition) -> int:
        return max(stands[partition] or 0 for stands in self._stands)

    def check(self) -> None:
        """Raises Rewind where Redis has less than we know to be stored: nothing else tells while nothing comes."""
        live = self._retry(self._store.catalogue.live)
        if live != self.generation:
            raise Rewind("generation" if live else "lost_writes")
        for shard, stands in enumerate(self._stands):
            if not stands:
                continue
            # A redrive may have failed halfway.
            self._retry(partial(self._store.finish, self.generation, shard))
            stored = self._retry(partial(self._store.positions, self.generation, shard, list(stands)))
            if any((now or 0) < (known or 0) for now, known in zip(stored, stands.values(), strict=True)):
                raise Rewind("lost_writes")

    def discard(self) -> None:
        """Gives up what is under way: another pipeline takes over, from where Redis stands."""
        flights, self._flights = self._flights, []
        following, self._next = self._next, None
        for flight in flights:
            flight.sent.discard()
        for asked in following.asked if following else ():
            asked.discard()

    def push(self, decoded: Sequence[Decoded]) -> None:
        """The next batch, or none, which moves on those under way. Raises Rewind, Rejoin, Closed."""
        projected = self._project_next()
        if decoded:
            # Asked before we wait: Redis answers between two scripts, while we hear of the first.
            self._next = Next(decoded, self._ask(decoded, projected))
        self._settle()
        self._send(projected)

    def flush(self) -> None:
        """Returns when all is stored. Raises as `push`."""
        while self.busy:
            self.push(())

    def _project_next(self) -> list[Projected]:
        """On top of what is under way. Where a batch takes several commits, all but the last are sent."""
        if self._next is None:
            return []
        decoded, states = self._next.decoded, dict[str, bytes | None]()
        for asked in self._next.asked:
            states |= self._retry(asked.states)
        self._next = None
        *earlier, last = commits(decoded, partial(self._size, states))
        for part in earlier:
            projected = self._project_all(part, states)
            self._settle()
            self._send(projected)
        return self._project_all(last, states)

    def _size(self, states: Mapping[str, bytes | None], group_id: str) -> int:
        """Of the group's state, in bytes. 0 also where it was pushed out of the cache after the states were asked for:
        that is rare, and not worth a round trip.
        """
        for flight in self._flights:
            if group_id in flight.projected.after:
                return flight.projected.after[group_id].size
        cached = self._cache.get(group_id)
        return cached.size if cached else len(states.get(group_id) or b"")

    def _ask(self, decoded: Sequence[Decoded], projected: Iterable[Projected]) -> list[Asked]:
        under_way = [flight.projected.after for flight in self._flights]
        under_way += [part.after for part in projected]
        missing: dict[int, list[str]] = {}
        for group_id in group_ids(decoded):
            if group_id not in self._cache and not any(group_id in after for after in under_way):
                missing.setdefault(self.generation.shard_of(group_id), []).append(group_id)
        return [self._store.ask(self.generation, shard, ids) for shard, ids in missing.items()]

    def _project_all(self, decoded: Sequence[Decoded], states: Mapping[str, bytes | None]) -> list[Projected]:
        """Every shard's part, where it has not had it yet."""
        found = []
        anchors = newest(item.record for item in decoded)
        stops = {partition: anchor.offset + 1 for partition, anchor in anchors.items()}
        for shard in range(self.generation.shards):
            heads = self._heads_for(shard)
            if advances := self._trail.advances(shard, heads, stops, anchors):
                items = self._share(shard, heads, decoded)
                found.append(self._project(shard, items, advances, self._known(shard, items, states)))
        return found

    def _heads_for(self, shard: int) -> dict[Partition, int | None]:
        """Where the shard will stand when what is under way is stored."""
        heads = dict(self._stands[shard])
        for flight in self._flights:
            if flight.projected.shard == shard:
                heads.update((partition, advance.stop) for partition, advance in flight.projected.advances.items())
        return heads

    def _share(
        self, shard: int, heads: Mapping[Partition, int | None], decoded: Sequence[Decoded]
    ) -> Sequence[Decoded]:
        """Records without a group are counted, and parked, in shard 0. A shard that is ahead has had its share."""
        fresh = [item for item in decoded if item.record.offset >= (heads[item.record.partition] or 0)]
        if self.generation.shards == 1:
            return fresh
        shard_of = self.generation.shard_of
        return [item for item in fresh if (shard_of(item.event.group_id) if item.event else 0) == shard]

    def _known(self, shard: int, items: Sequence[Decoded], states: Mapping[str, bytes | None]) -> dict[str, Known]:
        """Taken from what is under way, from the cache, from what was asked for, and only then from Redis."""
        taken: dict[str, Known] = {}
        missing = []
        for group_id in group_ids(items):
            found = self._take(group_id)
            if found is None and group_id in states:
                found = known(group_id, states[group_id])
            if found is None:
                missing.append(group_id)
            else:
                taken[group_id] = found
        return taken | self._load_known(shard, missing)

    def _take(self, group_id: str) -> Known | None:
        for flight in self._flights:
            if group_id in flight.projected.after:
                return flight.projected.after.pop(group_id)
        return self._cache.take(group_id)

    def _load_known(self, shard: int, ids: Sequence[str]) -> dict[str, Known]:
        if not ids:
            return {}
        states = self._retry(partial(self._store.load, self.generation, shard, ids))
        return {group_id: known(group_id, state) for group_id, state in states.items()}

    def _project(
        self,
        shard: int,
        items: Sequence[Decoded],
        advances: Mapping[Partition, Advance],
        before: Mapping[str, Known],
    ) -> Projected:
        change = project(before, items, now_text())
        return Projected(shard, items, advances, request(change, advances), change.after, change.parked, change.tally)

    def _send(self, projected: Iterable[Projected]) -> None:
        for part in projected:
            if part.parked:
                self._on_parked(part.parked)
            self._flights.append(Flight(part, self._store.commit(self.generation, part.shard, part.request)))

    def _settle(self) -> None:
        """Waits until what was sent is stored."""
        while self._flights:
            # Taken away first: what is steered elsewhere leaves the others to `discard`.
            flight = self._flights.pop(0)
            part, outcome = flight.projected, self._retry(flight.sent.outcome)
            # Sent again whole, even if others made its groups larger than a batch would be let start with.
            while outcome is Outcome.CHANGED:
                before = self._load_known(part.shard, group_ids(part.items))
                part = self._project(part.shard, part.items, part.advances, before)
                if part.parked:
                    self._on_parked(part.parked)
                outcome = self._retry(self._store.commit(self.generation, part.shard, part.request).outcome)
            self._steer(part, outcome)

    def _steer(self, part: Projected, outcome: Outcome) -> None:
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                self._stands[part.shard].update((p, advance.stop) for p, advance in part.advances.items())
                self._cache.put(part.after)
                self._stored(part.tally)
            case Outcome.BEHIND:
                raise Rewind("lost_writes")
            case Outcome.AHEAD:
                log.warning("another process applied our partitions: asking anew which are ours", shard=part.shard)
                raise Rejoin
            case Outcome.SEALED:
                log.info("the generation is closed: looking for the live one", generation=self.generation.number)
                raise Closed
