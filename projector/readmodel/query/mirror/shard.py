"""The mirror of the text of one shard: reads it from Redis, follows its commits, and searches it."""

import asyncio
from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.query.lua.scripts import REFRESH
from projector.readmodel.query.mirror.text import Text

# Chunks that are read at once: about half a megabyte.
SLICE_CHUNKS = 64
# Chunks that are searched before it is checked for how long others have waited, and for how long they may.
SEARCHED_CHUNKS = 32
HELD_S = 0.002
# Seconds after which a text is refreshed although no search did.
REFRESH_S = 5.0
# No commit: all has to be read.
_NONE = (-1, b"")
# An answer of refresh.lua: number, digest, is_newest, chunks.
_Report = tuple[int, bytes, int, int | list[int]]


class Found(Struct, frozen=True):
    """A bit for each ordinal of a shard: the groups with the needle, as of commit `number` with `digest` or later.

    The call that answers looks up the groups that changed since: see parts/needle.lua.
    """

    bits: bytes
    number: int
    digest: bytes


class ShardMirror:
    """`searching` limits the searches at a time, which take turns in this thread."""

    def __init__(self, reader: Reader, live: ActiveGeneration, shard: int, searching: asyncio.Semaphore) -> None:
        self._reader = reader
        self._searching = searching
        self._keys = live.shards[shard]
        self._slot = live.slots[shard]
        self._lock = asyncio.Lock()
        self._text: Text | None = None
        self._due_s = 0.0

    @property
    def has_text(self) -> bool:
        return self._text is not None

    async def follow(self) -> None:
        """Reads all, if there is no text or too much changed since; else, from time to time, what changed.

        Raises Unavailable, ReadModelFault.
        """
        loop = asyncio.get_running_loop()
        if self._text is not None and loop.time() < self._due_s:
            return
        async with self._lock:
            if self._text is None or not await self._refresh(self._text, None):
                self._text = None
                self._text = await self._load()
        self._due_s = loop.time() + REFRESH_S

    async def found(self, needle: bytes, deadline_s: float) -> Found | None:
        """Returns None while `follow` has to read the text. Raises Unavailable if it takes too long; ReadModelFault."""
        # Not by the lock alone, which is held as long as the text is being read.
        if self._text is None:
            return None
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._lock.acquire()
        except TimeoutError as error:
            raise Unavailable("another search waits for Redis", Refusal.TIMEOUT) from error
        try:
            text = self._text
            if text is None or not await self._refresh(text, deadline_s):
                self._text = None
                return None
        finally:
            self._lock.release()
        # This wait needs no deadline: a search ahead in the queue has an earlier one, or one that is hardly later.
        async with self._searching:
            return await _search(text, needle, deadline_s)

    async def _refresh(self, text: Text, deadline_s: float | None) -> bool:
        """Returns whether it is known what changed. `deadline_s`: None for that of a call for each call."""
        is_newest = False
        while not is_newest:
            report = await self._report(text.number, text.digest, deadline_s)
            if report is None:
                return True
            number, digest, newest, chunks = report
            if isinstance(chunks, int):
                return False
            await self._read(text, chunks, deadline_s)
            text.number, text.digest, is_newest = number, digest, newest == 1
        return True

    async def _load(self) -> Text | None:
        """Returns None while a commit is unfinished."""
        report = await self._report(*_NONE, None)
        if report is None:
            return None
        number, digest, _, chunks = report
        assert isinstance(chunks, int)
        text = Text(number, digest, chunks)
        await self._read(text, range(chunks), None)
        return text

    async def _report(self, number: int, digest: bytes, deadline_s: float | None) -> _Report | None:
        """Returns the answer of refresh.lua."""
        keys = self._keys
        command = REFRESH.call(keys, (keys.changed, keys.ordinals, keys.position), str(number), digest)
        reply = await self._reader.call(command, self._slot, REFRESH, deadline_s)
        return cast(_Report | None, reply)

    async def _read(self, text: Text, chunks: Sequence[int], deadline_s: float | None) -> None:
        for first in range(0, len(chunks), SLICE_CHUNKS):
            numbers = chunks[first : first + SLICE_CHUNKS]
            command = ("HMGET", self._keys.text, *map(str, numbers))
            found = await self._reader.call(command, self._slot, None, deadline_s)
            for number, chunk in zip(numbers, cast(list[bytes | None], found), strict=True):
                text.replace(number, chunk)


async def _search(text: Text, needle: bytes, deadline_s: float) -> Found:
    """Lets other tasks run from time to time. Raises Unavailable if the deadline passes; a retry goes on from there."""
    loop = asyncio.get_running_loop()
    # What changes from here on may be found or not.
    number, digest = text.number, text.digest
    search, due_s, first = text.search(needle), loop.time() + HELD_S, 0
    while first < len(text.chunks):
        search.look(first, first + SEARCHED_CHUNKS)
        first += SEARCHED_CHUNKS
        if loop.time() > deadline_s:
            raise Unavailable("the search for q took too long", Refusal.TIMEOUT)
        if loop.time() > due_s:
            await asyncio.sleep(0)
            due_s = loop.time() + HELD_S
    return Found(bytes(search.bits), number, digest)
