"""The mirrors of the active generation, and of one that will be switched to."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import structlog

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.errors import ReadModelError, Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.mirror.shard import Found, ShardMirror

# Seconds between two looks at what has to be mirrored. A search without a text ends the pause, except after an error.
PAUSE_S = 1.0
# How often the log is reminded of a problem that lasts, in seconds.
REMIND_S = 60.0
# A search is bound by the processor: more of them at a time would each take longer.
SEARCHES_AT_ONCE = 2

_log = structlog.get_logger("mirror")


class Mirrors:
    """`run` keeps them, in the background. Without it, as for a single query, `follow` is called once before."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._searching = asyncio.Semaphore(SEARCHES_AT_ONCE)
        # By the name of the generation.
        self._mirrors: dict[bytes, list[ShardMirror]] = {}
        # Set by searches without a text.
        self._wanted = asyncio.Event()
        # Set, and replaced, whenever the texts of a generation were read.
        self._followed = asyncio.Event()
        # Whether the text of an active generation has been read once.
        self.has_text = False

    async def run(self) -> None:
        """Runs until cancelled."""
        problem, logged_s = "", 0.0
        while True:
            self._wanted.clear()
            try:
                await self.follow()
            except ReadModelError as error:
                # Once a problem, which may last as long as a rebuild, and then once a minute.
                if str(error) != problem or monotonic() - logged_s >= REMIND_S:
                    problem, logged_s = str(error), monotonic()
                    _log.warning("text for q not read", error=problem)
                await asyncio.sleep(PAUSE_S)
            else:
                problem = ""
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), PAUSE_S)

    async def follow(self) -> None:
        """Mirrors what has to be, and drops the rest. Raises Unavailable, ReadModelFault."""
        wanted = await self._reader.generations()
        self._mirrors = {
            live.name: self._mirrors.get(live.name)
            or [ShardMirror(self._reader, live, shard, self._searching) for shard in range(len(live.shards))]
            for live in wanted
        }
        # One after the other, so that the answers of one at most are in memory.
        for mirrors in self._mirrors.values():
            for mirror in mirrors:
                await mirror.follow()
            # The active one is the first.
            self.has_text = self.has_text or all(mirror.has_text for mirror in mirrors)
            self._followed.set()
            self._followed = asyncio.Event()

    async def found(self, live: ActiveGeneration, needle: bytes, deadline_s: float) -> Sequence[Found]:
        """Returns the groups with the needle, which is not empty, in each shard, as of now or a little later.

        Waits while a text is being read. Raises Unavailable if that, or the search, takes too long; ReadModelFault.
        """
        is_waiting = False
        while True:
            # Before the search, so that no text is missed that is read during it.
            followed = self._followed
            mirrors = self._mirrors.get(live.name, ())
            found = await asyncio.gather(*(mirror.found(needle, deadline_s) for mirror in mirrors))
            if found and None not in found:
                return [one for one in found if one is not None]
            if not is_waiting:
                # Once a search: what cannot be read yet is tried again after the pause.
                self._wanted.set()
                is_waiting = True
            try:
                async with asyncio.timeout_at(deadline_s):
                    await followed.wait()
            except TimeoutError as error:
                raise Unavailable("the text for q is being read") from error
