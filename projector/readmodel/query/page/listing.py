"""One list: what is asked of the read model, call by call, until there is a page of one snapshot.

One round trip, but for filters that take preparing, for large pages of whole documents, and for deep pages of several
shards.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.client.errors import OtherGeneration, TooMuch, Unavailable
from projector.readmodel.client.reader import Reader, ShardReplies
from projector.readmodel.query.aggregates import Counted, Counting
from projector.readmodel.query.calls import BEHIND, NOT_SEARCHED, PREPARE_FIRST, SELLERS_FIRST, STALE, TOO_MUCH, call
from projector.readmodel.query.explain import Round, afterwards, plan_taken, steps_of
from projector.readmodel.query.export.selection import Selection
from projector.readmodel.query.lua.scripts import CHANGED
from projector.readmodel.query.mark import Mark, generation_of
from projector.readmodel.query.mirror.mirrors import Mirrors
from projector.readmodel.query.mirror.shard import Found
from projector.readmodel.query.page.merge import Reply, mark_at
from projector.readmodel.query.page.paging import Page, Paging
from projector.readmodel.query.page.preparing import Preparing
from projector.readmodel.query.page.records import Records
from projector.readmodel.query.page.sellers import Sellers
from projector.readmodel.query.plan import Combine, PlanTaken, Rank, Select, costliest, rows_suffice
from projector.readmodel.query.positions import Positions, Snapshot
from projector.readmodel.query.query import Query

# Lists that need calls before the one that answers, at a time, in this process.
PREPARING_MAX = 2
# Answers of one list that were no page. Two to four are the rule for deep pages of several shards; more are needed
# where a list changes fast.
ROUNDS_MAX = 12
# So often what was prepared is brought up to date: it comes nearer, unless more changes than a call reads.
REPAIRS_MAX = 256


class Answer(Struct, frozen=True):
    """`rows`: JSON objects of the default fields. `records`: of the same groups, if the query wants more than these.
    `next`: in a walk, where it goes on; None at its end.
    """

    count: int
    rows: Sequence[bytes]
    records: Sequence[bytes]
    snapshot: Snapshot
    plan: PlanTaken = PlanTaken.NOTHING
    next: Mark | None = None
    counted: Counted = Counted()

    @property
    def positions(self) -> Positions:
        return self.snapshot.positions


class Listing:
    """`preparing` lets PREPARING_MAX in. `snapshot`: of the position hashes of all shards. `steps`, if given, gets what
    is done.
    """

    def __init__(
        self,
        reader: Reader,
        mirrors: Mirrors,
        preparing: asyncio.Semaphore,
        snapshot: Callable[[ActiveGeneration, Sequence[object]], Snapshot],
        query: Query,
        chosen: Rank | Combine | Select,
        steps: list[Round] | None,
    ) -> None:
        self._reader = reader
        self._mirrors = mirrors
        self._snapshot = snapshot
        self._query = query
        self._needle = query.needle
        # What the mirrors found, in which generation.
        self._found: Sequence[Found] = ()
        self._searched: ActiveGeneration | None = None
        self._semaphore = preparing
        self._steps = steps
        self._call = call(chosen, query, has_records=not rows_suffice(query), explains=steps is not None)
        self._paging = Paging(query)
        self._preparing = Preparing(self._call)
        self._sellers = Sellers()
        self._counting = Counting(query.aggregates) if query.aggregates.are_wanted else None
        self._plans = [PlanTaken.RANK]
        self._rounds = self._repairs = 0
        # Of all calls but those that prepare, each of which has its own.
        self._deadline_s = reader.deadline_s()

    async def listed(self) -> Answer | None:
        """Returns None while no generation is live. Raises Unavailable, ReadModelFault, OtherGeneration and TooMuch."""
        while (seen := await self._answered()) is not None:
            replies = [Reply(*cast(list[Any], reply)) for reply in seen.values]
            if (page := self._paging.page(replies)) and (found := await self._whole(seen.live, page, replies)):
                return found
        return None

    async def selected(self) -> Selection | None:
        """As `listed`, for Select."""
        seen = await self._answered()
        if seen is None:
            return None
        positions, counts, bits = list(zip(*cast(list[list[object]], seen.values), strict=True))[:3]
        snapshot = self._snapshot(seen.live, positions)
        return Selection(sum(cast(list[int], counts)), cast(list[bytes], bits), seen.live, snapshot)

    async def _answered(self) -> ShardReplies | None:
        """Returns the next replies that answer the query, after the calls that have to come before."""
        if self._needle and self._searched is None and self._reader.live is not None:
            await self._search(self._reader.live)
        while self._rounds < ROUNDS_MAX and self._repairs < REPAIRS_MAX:
            seen = await self._reader.read(self._commands, self._call.script, self._deadline_s)
            if seen is None:
                return None
            replies = cast(list[list[object]], seen.values)
            if too_much := [cast(bytes, reply[2]) for reply in replies if reply[1] == TOO_MUCH]:
                raise TooMuch(too_much[0].decode())
            self._plans.append(plan_taken(replies))
            if self._steps is not None:
                self._steps.append(steps_of(seen.live, replies))
            codes = [reply[1] for reply in replies]
            if BEHIND in codes or SELLERS_FIRST in codes:
                self._repairs += 1
            else:
                self._rounds += 1
            if BEHIND in codes or PREPARE_FIRST in codes:
                await self._work(self._preparing, seen.live, replies)
            elif SELLERS_FIRST in codes:
                await self._work(self._sellers, seen.live, replies)
            elif STALE in codes:
                await self._search(seen.live)
            else:
                return seen
        raise Unavailable(f"the list changed faster than it was read, {self._rounds + self._repairs} times")

    def _commands(self, live: ActiveGeneration) -> Sequence[Command]:
        shards, mark = len(live.shards), self._query.mark
        if mark is not None and mark.generation != generation_of(live.name):
            raise OtherGeneration(
                "Expected: a mark of the active generation for field 'after', but got: one of another"
            )
        found = self._found if live is self._searched else [NOT_SEARCHED] * shards
        prepared, read = self._preparing.prepared(live), self._sellers.since(live)
        most = self._counting.most(shards) if self._counting else 0
        each = zip(live.shards, self._paging.windows(shards), found, prepared, read, strict=True)
        return [
            self._call.command(keys, window, shards, bits, mask, number, most, since)
            for number, (keys, window, bits, mask, since) in enumerate(each)
        ]

    async def _search(self, live: ActiveGeneration) -> None:
        self._found, self._searched = await self._mirrors.found(live, self._needle, self._deadline_s), live

    async def _work(
        self, work: Preparing | Sellers, live: ActiveGeneration, replies: Sequence[Sequence[object]]
    ) -> None:
        """Makes the calls that come before the next one that may answer. After a repair there are none."""
        work.begin(live, replies)
        if not work.is_done:
            await self._worked(work)
        self._deadline_s = self._reader.deadline_s()

    async def _worked(self, work: Preparing | Sellers) -> None:
        """Each call has the time of a request. Few lists are prepared at a time, so that Redis has time for others."""
        try:
            async with asyncio.timeout_at(self._reader.deadline_s()):
                await self._semaphore.acquire()
        except TimeoutError as error:
            raise Unavailable(f"{PREPARING_MAX} long lists are being prepared") from error
        try:
            while not work.is_done:
                seen = await self._reader.read(work.commands, work.script, self._reader.deadline_s())
                if seen is None:
                    return
                work.take(seen.values)
        finally:
            self._semaphore.release()

    async def _whole(self, live: ActiveGeneration, page: Page, replies: Sequence[Reply]) -> Answer | None:
        """Returns the page with all records that are wanted, and what is counted beside it; None if one of them changed
        meanwhile, or too little was counted.
        """
        counted: Counted | None = Counted()
        if self._counting:
            counted = self._counting.take(self._sellers.counted([reply.counted for reply in replies]))
        if counted is None:
            return None
        records: list[bytes] = []
        if self._call.has_records and page.groups:
            after = Records(live.generation, page.groups, replies)
            while not after.is_done:
                seen = await self._reader.read(after.commands, CHANGED, self._deadline_s)
                if seen is None:
                    return None
                after.take(seen.values)
            if not after.is_right:
                return None
            records = [after.record(group) for group in page.groups]
            if self._steps is not None and any(after.read):
                self._steps.append(afterwards([keys.record for keys in live.shards], after.read))
        rows, next_one = [group.row for group in page.groups], None
        if self._query.walks and page.groups and not page.is_last:
            last = page.groups[-1]
            next_one = mark_at(self._query, last, replies[last.shard], live.name)
        snapshot = self._snapshot(live, [reply.positions for reply in replies])
        return Answer(page.count, rows, records, snapshot, costliest(self._plans), next_one, counted)
