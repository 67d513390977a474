"""One list: what is asked of the read model, call by call, until there is a page of one instant.

One round trip, but for searches, filters of many small values, large pages, and deep ones in several shards.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.client.script import Script
from projector.readmodel.query.calls import WHOLE, call, gathering, is_rotated
from projector.readmodel.query.explain import Round, afterwards, plan_taken, steps_of
from projector.readmodel.query.lua.scripts import CHANGED, GATHER, PLACES, SEARCH
from projector.readmodel.query.page.documents import FIRST_ROWS, ROWS_MAX, Documents
from projector.readmodel.query.page.known import RENEWALS_MAX, Known
from projector.readmodel.query.page.paging import ROUNDS_MAX, Paging
from projector.readmodel.query.page.places import Places
from projector.readmodel.query.page.spans import LADDER, LADDER_SELECTED
from projector.readmodel.query.plan import PlanTaken, Scan, Select, costlier
from projector.readmodel.query.prepare.gather import BEHIND, CATCH_UPS_MAX, Gathering
from projector.readmodel.query.prepare.search import Search
from projector.readmodel.query.query import Query

# Lists that need calls before the one that answers, at a time, in this process.
PREPARING_MAX = 2


class Listed(Struct, frozen=True):
    """`documents`: JSON objects. `positions`: the hash of each shard of `live`, name and offset in turn."""

    count: int
    documents: Sequence[bytes]
    live: ActiveGeneration
    positions: Sequence[object]
    plan: PlanTaken


class Listing:
    """`preparing` lets PREPARING_MAX in. `steps`, if given, gets what is done."""

    def __init__(
        self,
        reader: Reader,
        preparing: asyncio.Semaphore,
        query: Query,
        chosen: Scan | Select,
        steps: list[Round] | None,
    ) -> None:
        self._reader = reader
        self._preparing = preparing
        self._query = query
        self._steps = steps
        self._asked = call(chosen, query)
        self._rotated = is_rotated(chosen, query)
        ladder = LADDER if isinstance(chosen, Scan) else LADDER_SELECTED
        self._paging = Paging(query, self._asked.parts, rotated=self._rotated, ladder=ladder)
        self._search, self._gathering = Search(query.needle), Gathering(partial(gathering, query))
        self._plan = PlanTaken.RANK
        self._misses = 0
        # For each shard, once it was in vain that something was read after the list.
        self._known: Sequence[Known] = ()
        # Of all calls but those of long preparations, each of which has its own.
        self._deadline_s = reader.deadline_s()

    async def listed(self) -> Listed | None:
        """None where nothing is live. Raises Unavailable and ReadModelFault."""
        rounds = catch_ups = 0
        while rounds - self._misses < ROUNDS_MAX and catch_ups < CATCH_UPS_MAX and self._misses <= RENEWALS_MAX:
            seen = await self._reader.read(self._commands, self._asked.script, self._deadline_s)
            if seen is None:
                return None
            replies = cast(list[list[object]], seen.values)
            if self._steps is not None:
                self._steps.append(steps_of(seen.live, self._asked, replies))
            self._plan = costlier(self._plan, plan_taken(self._asked, replies))
            counts = [reply[1] for reply in replies]
            if BEHIND in counts:
                catch_ups += 1
            else:
                rounds += 1
            is_searched = self._search.begin(seen.live, counts)
            if self._gathering.begin(seen.live, replies) or is_searched:
                await self._prepare(self._search, SEARCH)
                await self._prepare(self._gathering, GATHER)
            elif found := await self._page(seen.live, replies):
                return found
        raise Unavailable(f"the list changed faster than it was read, {rounds + catch_ups} times")

    def _commands(self, live: ActiveGeneration) -> Sequence[Command]:
        if self._known and self._known[0].generation != live.generation:
            self._known = ()
        found, gathered = self._search.found(live), self._gathering.gathered(live)
        windows = self._paging.windows(len(live.shards), is_known=bool(self._known))
        commands = [self._asked.command(*one) for one in zip(live.shards, windows, found, gathered, strict=True)]
        if not (self._known and self._paging.is_read_after):
            return commands
        return [(*command, *known.arguments()) for command, known in zip(commands, self._known, strict=True)]

    async def _prepare(self, work: Search | Gathering, script: Script) -> None:
        """Slice by slice, each of which may take as long as another request: it is the answer to come that has to be
        of one instant. Few at a time, for others want something of Redis, too.
        """
        if work.is_done:
            return
        try:
            async with asyncio.timeout_at(self._reader.deadline_s()):
                await self._preparing.acquire()
        except TimeoutError as error:
            raise Unavailable(f"{PREPARING_MAX} long lists are being prepared") from error
        try:
            await self._work_off(work, script, self._reader.deadline_s)
        finally:
            self._preparing.release()
            self._deadline_s = self._reader.deadline_s()

    async def _work_off(
        self, work: Search | Gathering | Places, script: Script, deadline_s: Callable[[], float]
    ) -> None:
        """Until it is done, or nothing is live. `deadline_s`: of each slice."""
        while not work.is_done:
            seen = await self._reader.read(work.slices, script, deadline_s())
            if seen is None:
                return
            work.take(seen.values)

    async def _page(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> Listed | None:
        """None: ask again."""
        positions = [reply[0] for reply in replies]
        if not self._paging.is_read_after:
            page = self._paging.page(replies)
            return None if page is None else Listed(page.count, page.told, live, positions, self._plan)
        known, is_first = self._known, not self._known
        if is_first:
            known = [Known(live.generation, reply, self._asked.parts) for reply in replies]
            await self._place(live, known)
        else:
            for one, reply in zip(known, replies, strict=True):
                one.renew(reply)
        if not any(one.unplaced for one in known):
            page = self._paging.page([one.listed(self._query.descending, self._rotated) for one in known])
            if page is None:
                return None
            if not is_first or await self._read(live, known, self._of_shards(live, page.told)):
                rows: dict[bytes, bytes] = {}
                for one in known:
                    rows |= one.rows
                if rows.keys() >= set(page.told):
                    told = [rows[group_id] for group_id in page.told]
                    return Listed(page.count, told, live, positions, self._plan)
        if is_first:
            # What may be in the page by then, too.
            await self._read(live, known, [one.unread for one in known])
        # From here on what is missing is told with the list: to read it after that might never come to an end.
        self._known = known
        self._misses += 1
        return None

    async def _place(self, live: ActiveGeneration, known: Sequence[Known]) -> None:
        places = Places(known, self._query.sort)
        if not places.is_done:
            self._tell("place", [keys.ordinal for keys in live.shards], [len(one.unplaced) for one in known])
            await self._work_off(places, PLACES, lambda: self._deadline_s)

    async def _read(self, live: ActiveGeneration, known: Sequence[Known], ids: Sequence[Sequence[bytes]]) -> bool:
        """`ids`: of documents of each shard. Whether all is as it was at the moment of the list."""
        left, is_right, rows = list(ids), True, FIRST_ROWS if self._asked.parts == WHOLE else ROWS_MAX
        while any(left):
            documents = Documents(known, [some[:rows] for some in left], self._asked.parts)
            seen = await self._reader.read(documents.commands, CHANGED, self._deadline_s)
            if seen is None:
                return False
            is_right &= documents.take(seen.live, seen.values)
            left = [some[rows:] for some in left]
            rows = documents.next_rows()
        if any(ids):
            self._tell("read", [keys.row for keys in live.shards], [len(some) for some in ids])
        return is_right

    def _of_shards(self, live: ActiveGeneration, ids: Sequence[bytes]) -> list[list[bytes]]:
        found: list[list[bytes]] = [[] for _ in live.shards]
        for group_id in ids:
            found[live.generation.shard_of(group_id.decode())].append(group_id)
        return found

    def _tell(self, what: str, keys: Sequence[str], groups: Sequence[int]) -> None:
        if self._steps is not None:
            self._steps.append(afterwards(what, keys, groups))
