"""Follows the read model for all subscribers, from the first one to the last one, or until Redis is lost."""

import asyncio

import structlog

from api.changes.events import UNAVAILABLE, Change, event_id
from api.changes.lists import Admitted, Followed, ReadPage
from projector.readmodel.client.errors import ReadModelError, Unavailable
from projector.readmodel.query.changes import Changes
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.query import Query

# Seconds between two looks at what changed, at least.
TICK_S = 0.2
# Seconds after which it looks without having been woken: a message may be lost, and a redrive publishes none.
POLL_S = 1.0
# After lists were read, none is read again for that many times as long: they take a part of Redis' time only.
REST = 3
# Seconds for which Redis may be unavailable before the streams end, and between two attempts.
GRACE_S = 1.0
RETRY_S = 0.1

SWITCHED = "another generation is active"
LOST = "too many commits have passed, or Redis has lost some"

_log = structlog.get_logger("api")


class Feed:
    """`followed`: by list; with an entry of None for subscribers without one."""

    def __init__(self, engine: Engine, read_page: ReadPage, seen: Changes) -> None:
        self.followed: dict[Query | None, Followed] = {}
        self.seen = seen
        self._engine = engine
        self._read_page = read_page
        self._woken = asyncio.Event()
        self._lists_due = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    def wake(self) -> None:
        """Called when something was published."""
        self._woken.set()

    def list_of(self, query: Query | None) -> Followed:
        found = self.followed.get(query)
        if found is None:
            found = self.followed[query] = Followed(query, self._read_page)
        return found

    async def read(self, one: Followed, admitted: Admitted) -> Change:
        """Returns the state of the list. Raises as `Followed.read`."""
        state = await one.read(lambda: Change(event_id(self.seen), self.seen.snapshot.text), admitted)
        # What changed during the first read is due.
        self._lists_due.set()
        return state

    def stop(self) -> None:
        self._task.cancel()

    async def stopped(self) -> None:
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        """Ends with the first of its tasks, and all streams with it."""
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._read_lists())]
        last = b""
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            last, error = UNAVAILABLE, done.pop().exception()
            expected = isinstance(error, ReadModelError)
            _log.error("streams of changes ended", reason=str(error), exc_info=None if expected else error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in list(self.followed.values()):
                self.end(one, last)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            except TimeoutError:
                # Nothing was published: looks all the same.
                pass
            self._woken.clear()
            looked_s = loop.time()
            # A look in vain must not delay the next change.
            if await self._look(looked_s):
                await asyncio.sleep(looked_s + TICK_S - loop.time())

    async def _look(self, now_s: float) -> bool:
        """Returns whether something has changed."""
        before, self.seen = self.seen, await self._read()
        seen, reset = self.seen, ""
        if seen.generation != before.generation:
            reset = SWITCHED
        elif not seen.is_known:
            reset = LOST
        elif seen.commits == before.commits and seen.snapshot.content == before.snapshot.content:
            return False
        change = Change(event_id(seen), seen.snapshot.text, () if reset else seen.ids, reset=reset, looked_s=now_s)
        for one in self.followed.values():
            one.take(change)
        self._lists_due.set()
        return True

    async def _read(self) -> Changes:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + GRACE_S
        while True:
            try:
                return await self._engine.changes(self.seen.commits)
            except Unavailable:
                if loop.time() > until_s:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _read_lists(self) -> None:
        """One after the other, so that lists of other clients come in between.

        No look is waited for: a list that was late once would be late after each look that follows.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._lists_due.wait()
            self._lists_due.clear()
            due = [one for one in self.followed.values() if one.is_due]
            if not due:
                continue
            began_s = loop.time()
            are_read = [await self._read_list(one) for one in due]
            spent_s = loop.time() - began_s
            await asyncio.sleep(REST * spent_s if all(are_read) else max(REST * spent_s, RETRY_S))

    async def _read_list(self, one: Followed) -> bool:
        """Returns whether it was read. One that cannot be read for GRACE_S ends its own streams only."""
        now_s = asyncio.get_running_loop().time()
        try:
            await one.read_again()
        except ReadModelError as error:
            self._lists_due.set()
            one.failing_since_s = one.failing_since_s or now_s
            if now_s - one.failing_since_s > GRACE_S:
                _log.warning("streams of a list ended", reason=str(error), subscribers=len(one.members))
                self.end(one, UNAVAILABLE)
            return False
        one.failing_since_s = None
        return True

    def end(self, one: Followed, last: bytes) -> None:
        self.followed.pop(one.query, None)
        for member in one.members:
            member.end(last)
