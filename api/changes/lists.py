"""A list that subscribers follow, read once for all of them; or no list, for subscribers to changes only."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from hashlib import blake2b

from api import page as pages
from api.changes.events import Change, Page, merged
from api.changes.subscriber import Subscriber
from projector.readmodel.query.query import Query

# Within it, as much work is in progress as was admitted.
Admitted = Callable[[], AbstractAsyncContextManager[None]]
# Raises Unavailable, ReadModelFault.
ReadPage = Callable[[Query], Awaitable[pages.Page]]


class Followed:
    """`query`: None for changes only. `state`: the change that was sent last, as the first event of a new subscriber;
    None before `read` was called.
    """

    def __init__(self, query: Query | None, read_page: ReadPage) -> None:
        self.query = query
        self.members: set[Subscriber] = set()
        self.state: Change | None = None
        self.failing_since_s: float | None = None
        self._read_page = read_page
        self._reading = asyncio.Lock()
        self._digest = b""
        # What is to be sent once the list is read again.
        self._pending: Change | None = None
        self._advanced = asyncio.Event()

    @property
    def is_due(self) -> bool:
        return self._pending is not None and self.state is not None

    def take(self, change: Change) -> None:
        """Sends it; with a list, once `read_again` has read that."""
        if self.query is None:
            self._send(change)
        else:
            self._pending = merged(self._pending, change)

    async def read(self, now: Callable[[], Change], admitted: Admitted) -> Change:
        """Returns the state, which the first of several callers reads. `now`: returns the state of the read model.

        Raises Unavailable, ReadModelFault, and what `admitted` raises.
        """
        async with self._reading:
            if self.state is not None:
                return self.state
            if self.query is None:
                self.state = now()
                return self.state
            async with admitted():
                change = now()
                self.state = replace(change, page=await self._read(self.query))
                return self.state

    async def read_again(self) -> None:
        """Reads the list and sends what is due. After an error it stays due."""
        async with self._reading:
            change = self._pending
            if change is None or self.query is None:
                return
            # What is taken meanwhile is for the next time: the page may not have it.
            self._pending = None
            try:
                page = await self._read(self.query)
            except BaseException:
                self._pending = change if self._pending is None else merged(change, self._pending)
                raise
            self._send(replace(change, page=replace(page, changed=page.changed or bool(change.reset))))

    async def wait_for(self, is_reached: Callable[[Change], bool], wake: Callable[[], None], seconds: float) -> bool:
        """Returns whether its state is reached in time. `wake` is called to have the read model looked at."""
        try:
            async with asyncio.timeout(seconds):
                while self.state is None or not is_reached(self.state):
                    wake()
                    await self._advanced.wait()
        except TimeoutError:
            return False
        return True

    def _send(self, change: Change) -> None:
        # Later subscribers begin with that state, and nothing of what led to it.
        self.state = replace(change, ids=(), reset="")
        for member in self.members:
            member.offer(change)
        self._advanced.set()
        self._advanced = asyncio.Event()

    async def _read(self, query: Query) -> Page:
        found = await self._read_page(query)
        digest, before = blake2b(found.body, digest_size=16).digest(), self._digest
        self._digest = digest
        return Page(found.answer.count, changed=digest != before)
