"""One list: what is asked of the read model, call by call, until there is a page of one instant.

One round trip, but for searches, filters of many small values, large pages, and deep ones in several shards.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from msgspec import Struct

from api.batches import Command
from api.calls import NO_PARTS, WHOLE, call, gathering, is_rotated
from api.documents import TRIES_MAX, Documents, Known
from api.errors import Unavailable
from api.explain import Round, afterwards, told
from api.gather import BEHIND, CATCH_UPS_MAX, Gathering
from api.live import Live
from api.merge import LADDER, LADDER_SELECTED
from api.paging import ROUNDS_MAX, Paging
from api.places import UNLISTED, Places
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
        parts = NO_PARTS if self._asked.reads_after else self._asked.parts
        self._paging = Paging(query, parts, rotated=self._rotated, ladder=ladder)
        self._search, self._gathering = Search(query.needle), Gathering(partial(gathering, query))
        self._misses = 0
        self._known: Known | None = None
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
        if self._misses >= TRIES_MAX:
            self._paging.parts = -self._asked.parts
        found, gathered = self._search.found(live), self._gathering.gathered(live)
        if self._known is not None and self._known.generation == live.generation:
            (window,) = self._paging.windows(1)
            window = window._replace(step=-1, parts=-self._asked.parts)
            command = self._asked.command(live.shards[0], window, found[0], gathered[0])
            return [(*command, *self._known.arguments())]
        self._known = None
        windows = self._paging.windows(len(live.shards))
        return [self._asked.command(*one) for one in zip(live.shards, windows, found, gathered, strict=True)]

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
        """None: ask again. Those that were read after the list, but are not of its instant any more, are misses."""
        positions = [reply[0] for reply in replies]
        if self._known is not None:
            ((_, count, ids, told),) = cast(list[tuple[object, int, list[bytes], list[bytes | None]]], replies)
            return Listed(count, self._known.completed(ids, told), live, positions)
        if any(reply[1] == UNLISTED for reply in replies):
            if self._paging.parts != NO_PARTS:
                # What is listed afterwards has its documents read afterwards.
                self._paging.parts = NO_PARTS
                return None
            query = self._query
            places = Places(live, replies, query.sort, descending=query.descending, rotated=self._rotated)
            self._tell("place", [keys.ordinal for keys in live.shards], places.counts)
            await self._work_off(places, PLACES, lambda: self._deadline_s)
            listed = places.replies()
            if listed is None:
                self._misses += 1
                return None
            replies = listed
        page = self._paging.page(replies)
        if page is None:
            return None
        if page.rows is not None:
            return Listed(page.count, page.rows, live, positions)
        documents = Documents(live, page.ids, replies, whole=self._asked.parts == WHOLE)
        seen = await self._reader.read(documents.commands, CHANGED, self._deadline_s)
        self._tell("read", [keys.row for keys in live.shards], documents.counts)
        rows = None if seen is None else documents.rows(seen.live, seen.values)
        if rows is None:
            self._misses += 1
            self._known = None if seen is None else documents.known(seen.live, seen.values)
            return None
        return Listed(page.count, rows, live, positions)

    def _tell(self, what: str, keys: Sequence[str], groups: Sequence[int]) -> None:
        if self._steps is not None:
            self._steps.append(afterwards(what, keys, groups))
