"""One list: what is asked of the read model, call by call, until there is a page of one instant.

One round trip, but for searches, filters of many small values, large pages, and deep ones in several shards.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from msgspec import Struct

from api.batches import Command
from api.calls import call, gathering, is_rotated
from api.documents import Documents
from api.errors import Unavailable
from api.explain import Round, afterwards, told
from api.gather import BEHIND, CATCH_UPS_MAX, Gathering
from api.known import Known
from api.live import Live
from api.merge import LADDER, LADDER_SELECTED
from api.paging import ROUNDS_MAX, Paging
from api.places import Places
from api.plan import Scan, Select
from api.query import Query
from api.reader import Reader
from api.scripts import CHANGED, GATHER, PLACES, SEARCH, Script
from api.search import Search

# Lists that need calls before the one that answers, at a time, in this process.
PREPARING_MAX = 2


class Listed(Struct, frozen=True):
    """`rows`: JSON objects joined by commas. `positions`: the hash of each shard of `live`, name and offset in turn."""

    count: int
    rows: bytes
    live: Live
    positions: Sequence[object]


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
        self._asked = call(chosen, query, tells=steps is not None)
        self._rotated = is_rotated(chosen, query)
        ladder = LADDER if isinstance(chosen, Scan) else LADDER_SELECTED
        self._paging = Paging(query, self._asked.parts, rotated=self._rotated, ladder=ladder)
        self._search, self._gathering = Search(query.needle), Gathering(partial(gathering, query))
        self._misses = 0
        # For each shard, once it was in vain that something was read after the list.
        self._known: Sequence[Known] = ()
        # Of all calls but those of long preparations, each of which has its own.
        self._deadline_s = reader.deadline_s()

    async def listed(self) -> Listed | None:
        """None where nothing is live. Raises Unavailable and ReadModelFault."""
        rounds = catch_ups = 0
        while rounds - self._misses < ROUNDS_MAX and catch_ups < CATCH_UPS_MAX:
            seen = await self._reader.read(self._commands, self._asked.script, self._deadline_s)
            if seen is None:
                return None
            replies = cast(list[list[object]], seen.values)
            if self._steps is not None:
                self._steps.append(told(seen.live, self._asked, replies))
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

    def _commands(self, live: Live) -> Sequence[Command]:
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

    async def _page(self, live: Live, replies: Sequence[Sequence[object]]) -> Listed | None:
        """None: ask again."""
        positions = [reply[0] for reply in replies]
        if not self._paging.is_read_after:
            page = self._paging.page(replies)
            return None if page is None else Listed(page.count, b",".join(page.told), live, positions)
        known = self._known or [Known(live.generation, reply, self._asked.parts) for reply in replies]
        for one, reply in zip(self._known, replies, strict=False):
            one.renew(reply)
        if await self._place(live, known):
            page = self._paging.page([one.listed(self._query.descending, self._rotated) for one in known])
            if page is None:
                return None
            rows = await self._read(live, known, page.told)
            if rows is not None:
                return Listed(page.count, rows, live, positions)
        # Now it is known. What is missing is told with the next list: to read it after that might never come to an end.
        self._known = known
        self._misses += 1
        return None

    async def _place(self, live: Live, known: Sequence[Known]) -> bool:
        """Whether all groups of the page are listed."""
        if not self._known:
            places = Places(known, self._query.sort)
            if not places.is_done:
                self._tell("place", [keys.ordinal for keys in live.shards], places.counts)
                await self._work_off(places, PLACES, lambda: self._deadline_s)
        return not any(one.unplaced for one in known)

    async def _read(self, live: Live, known: Sequence[Known], ids: Sequence[bytes]) -> bytes | None:
        """JSON objects joined by commas; None where some are missing, or may be of another moment than the list."""
        if ids and not self._known:
            documents = Documents(live, ids, known, self._asked.parts)
            seen = await self._reader.read(documents.commands, CHANGED, self._deadline_s)
            self._tell("read", [keys.row for keys in live.shards], documents.counts)
            if seen is None or not documents.take(seen.live, seen.values):
                return None
        rows: dict[bytes, bytes] = {}
        for one in known:
            rows |= one.rows
        return b",".join([rows[group_id] for group_id in ids]) if rows.keys() >= set(ids) else None

    def _tell(self, what: str, keys: Sequence[str], groups: Sequence[int]) -> None:
        if self._steps is not None:
            self._steps.append(afterwards(what, keys, groups))
