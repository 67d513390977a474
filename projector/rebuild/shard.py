"""Writes windows of one partition to one shard of a generation that nobody reads yet."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha1
from typing import NamedTuple, cast

from events.logs.log import Partition
from projector.anchors import Anchor, newest_anchors, packed
from projector.errors import FatalError
from projector.parked.record import now_text
from projector.project import Change, Decoded, Stored, group_ids, known, new, project
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.ordinals import member_of
from projector.rebuild.books import Books, Page, Plan
from projector.rebuild.commands import Command, New, commands, old_chunks, parts, text_commands
from projector.rebuild.poison import refuse
from projector.rebuild.windows import WINDOW_BYTES
from projector.retry import Retry
from projector.store.redis import Store
from projector.store.request import tallies
from projector.trail import Trail

# Records whose groups are loaded by one call, which takes Redis about two milliseconds.
LOAD_RECORDS = 1000
# Of a digest in `changed`.
DIGITS = 16
# How long a builder waits for another one that writes its window, in seconds, before it looks again.
WAIT_S = 0.005


# Group id -> the group; None for a new one.
Loaded = dict[str, Stored | None]


class PositionsLost(Exception):
    """The positions in Redis are not those that were written: it has lost writes."""


class Prepared(NamedTuple):
    """A window, folded and rendered. `parts`: without texts of chunks that have other lines, too."""

    change: Change
    new: New
    parts: list[list[Command]]


class ShardBuilder:
    """Methods raise what `retry` raises, PoisonEvent unless `park`, FatalError, and PositionsLost."""

    def __init__(
        self,
        store: Store,
        generation: Generation,
        shard: int,
        run: str,
        partition: Partition,
        retry: Retry,
        park: bool,
    ) -> None:
        self._store = store
        self._generation = generation
        self._shard = shard
        self._keys = generation.keys(shard)
        self._books = Books(store.nodes, generation, shard, run, str(partition))
        self._partition = partition
        self._name = str(partition)
        self._retry = retry
        self._park = park
        self._trail = Trail(generation.shards)
        self.position: int | None = None

    def start(self) -> Plan | None:
        """Reads the position. Returns the window that a builder of this partition has left half written, if any."""
        read = partial(self._store.positions_and_anchors, self._generation, self._shard, [self._partition])
        self.position = self._trail.start(self._shard, [self._partition], self._retry(read))[self._partition]
        while not self._retry(self._leave):
            pass
        plan = cast(Page, self._retry(self._books.read)).plan
        return plan if plan and plan.partition == self._name else None

    def write(self, items: Sequence[Decoded], stop: int, anchors: Mapping[Partition, Anchor]) -> None:
        """Writes the shard's items of a window that ends before `stop`, or of several if its groups are large.

        `anchors`: of the last record before `stop`.
        """
        while (self.position or 0) < stop:
            own, items, stored = self._load(items)
            end, last = stop, anchors
            if items:
                end, last = items[0].record.offset, newest_anchors(item.record for item in own)
            # While others write theirs.
            prepared = self._prepare(own, stored)
            while not self._retry(partial(self._enter, Plan(self._name, self.position, end))):
                time.sleep(WAIT_S)
            if (now := self._load_all(own)) != stored:
                prepared = self._prepare(own, now)
            self._write(self._plan(prepared, end), prepared, last)

    def resume(self, plan: Plan, items: Sequence[Decoded], anchors: Mapping[Partition, Anchor]) -> None:
        """Writes again exactly what an earlier builder has planned, and may have written in part. Raises FatalError if
        the log has other events now.
        """
        stored = self._load_all(items)
        own = range(plan.first, plan.end)
        before = {group_id: one if one and one.ordinal not in own else None for group_id, one in stored.items()}
        prepared = self._prepare(items, before, plan.first)
        if plan.ids != prepared.new.digest:
            number = self._generation.number
            raise FatalError(
                f"{self._name}: the log no longer holds what generation {number} was being built from: "
                f"projector replay drop {number}"
            )
        self._write(plan, prepared, anchors)

    def _leave(self) -> bool:
        """Returns whether the books have no window of ours of which nothing is written: others wait for it."""
        plan = self._books.read().plan
        return plan is None or plan.partition != self._name or bool(plan.ids) or self._books.finish([])

    def _enter(self, plan: Plan) -> bool:
        """Returns whether the books have our window, still without what it writes; False while others write theirs."""
        page = self._books.read()
        if page.plan is not None and page.plan.partition != self._name:
            return False
        if page.plan is not None:
            if page.plan != plan:
                # An earlier window of this builder: no other builder ends it.
                raise PositionsLost
            return True
        if page.position != plan.start:
            raise PositionsLost
        return self._books.plan(plan)

    def _load(self, items: Sequence[Decoded]) -> tuple[Sequence[Decoded], Sequence[Decoded], Loaded]:
        """Returns some of the items, the others, and the groups of the former, which are not too large together."""
        stored: Loaded = {}
        size = end = 0
        while end < len(items) and size < WINDOW_BYTES:
            missing = [group_id for group_id in group_ids(items[end : end + LOAD_RECORDS]) if group_id not in stored]
            found = self._retry(partial(self._store.load, self._generation, self._shard, missing)) if missing else {}
            stored |= found
            size += sum([len(one.record) for one in found.values() if one])
            end += LOAD_RECORDS
        return items[:end], items[end:], stored

    def _load_all(self, items: Sequence[Decoded]) -> Loaded:
        stored: Loaded = {}
        while items:
            _, items, some = self._load(items)
            stored |= some
        return stored

    def _prepare(self, items: Sequence[Decoded], stored: Loaded, first: int | None = None) -> Prepared:
        """`first`: the first ordinal of the new groups; by default they are reserved."""
        before = {group_id: known(group_id, one) for group_id, one in stored.items() if one}
        ids = [group_id for group_id in stored if group_id not in before]
        if first is None:
            while (first := self._retry(partial(self._books.reserve, len(ids)))) is None:
                pass
        before |= {group_id: new(first + i) for i, group_id in enumerate(ids)}
        change, added = project(before, items, now_text()), New(first, ids)
        if not self._park:
            refuse(change.parked)
        return Prepared(change, added, parts(commands(self._keys, change, added)))

    def _plan(self, prepared: Prepared, stop: int) -> Plan:
        fresh, page, grown = prepared.new, cast(Page, self._retry(self._books.read)), tallies(prepared.change)
        before = self._retry(partial(self._store.tallied, self._generation, self._shard, list(grown)))
        tally = {name: records + was for (name, records), was in zip(grown.items(), before, strict=True)}
        number, digest = page.newest
        content = f"{digest}{self._name}@{stop}".encode()
        chained = sha1(content, usedforsecurity=False).hexdigest()[:DIGITS]
        return Plan(self._name, self.position, stop, fresh.first, fresh.end, fresh.digest, tally, number + 1, chained)

    def _write(self, plan: Plan, prepared: Prepared, anchors: Mapping[Partition, Anchor]) -> None:
        while not self._retry(partial(self._put, plan)):
            pass
        change, cut = prepared.change, prepared.parts
        if chunks := old_chunks(change, prepared.new):
            texts = dict(zip(chunks, self._retry(partial(self._texts, chunks)), strict=True))
            cut = [*parts(text_commands(self._keys, change, texts)), *cut]
        last = self._last(plan, change, anchors)
        while not self._retry(partial(self._write_next, plan, cut, last)):
            pass
        self.position = plan.stop

    def _put(self, plan: Plan) -> bool:
        """Returns whether the books have the plan, with none of its parts written."""
        page = self._books.read()
        # A failover may have lost the reservation of ordinals alone.
        if page.plan is None or page.plan.partition != self._name or not page.is_reserved:
            raise PositionsLost
        return self._books.plan(plan)

    def _write_next(self, plan: Plan, cut: Sequence[Sequence[Command]], last: Sequence[Command]) -> bool:
        """Writes the first part that is not stored. Returns whether all are, and the position."""
        page = self._books.read()
        if page.plan is None and page.position == plan.stop:
            return True
        if page.plan != plan:
            raise PositionsLost
        if page.part < len(cut):
            self._books.part(cut[page.part], page.part)
            return False
        return self._books.finish(last)

    def _last(self, plan: Plan, change: Change, anchors: Mapping[Partition, Anchor]) -> list[Command]:
        keys = self._keys
        found: list[Command] = []
        if change.groups:
            members = b"".join([member_of(ordinal) for ordinal, _ in change.groups.values()])
            entry = f"{plan.number}:{plan.digest}:".encode() + members
            # Nobody follows the changes of a generation that is being built: the newest is enough.
            found += [("ZADD", keys.changed, str(plan.number), entry), ("ZREMRANGEBYRANK", keys.changed, "0", "-2")]
        if plan.tally:
            found.append(("HSET", keys.tally, *[str(one) for pair in plan.tally.items() for one in pair]))
        starts, stops = {self._partition: plan.start}, {self._partition: plan.stop}
        advance = self._trail.advances(self._shard, starts, stops, anchors)[self._partition]
        if advance.last:
            found.append(("HSET", keys.last, self._name, packed(advance.last)))
        return [*found, ("HSET", keys.position, self._name, str(plan.stop))]

    def _texts(self, chunks: Sequence[int]) -> list[bytes | None]:
        with self._store.nodes.errors():
            fields = [str(chunk) for chunk in chunks]
            return cast(list[bytes | None], self._store.nodes.of(self._keys.text).hmget(self._keys.text, fields))
