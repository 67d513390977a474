"""How many requests are at work at a time, and for how long each."""

import asyncio
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.middleware.observe import exchange_of
from projector.readmodel.client.deadlines import Deadlines, Task


class Places:
    """At most `most` tasks at a time, `timeout_ms` for each; then it is cancelled."""

    def __init__(self, most: int, timeout_ms: int) -> None:
        self._most = most
        self._timeout_s = timeout_ms / 1000
        self._deadlines = Deadlines()
        self.leave = self._deadlines.drop
        self.has_expired = self._deadlines.has_expired

    @property
    def taken(self) -> int:
        return len(self._deadlines)

    def take(self, task: Task) -> bool:
        """False where there is none left."""
        if len(self._deadlines) >= self._most:
            return False
        self.take_again(task)
        return True

    def take_again(self, task: Task) -> None:
        """For one that was let in and stepped aside: it is not sent away, though there may be one more than allowed."""
        self._deadlines.set(task, task.get_loop().time() + self._timeout_s)


class Admission:
    """Behind the credentials: who has none can take no place.

    `open_to_all` are paths that are let in however many are at work, and have their own bounds.
    """

    def __init__(self, app: ASGIApp, places: Places, open_to_all: frozenset[str]) -> None:
        self._app = app
        self._places = places
        self._open_to_all = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open_to_all:
            await self._app(scope, receive, send)
            return
        exchange, task = exchange_of(scope), asyncio.current_task()
        assert task is not None
        if not self._places.take(task):
            exchange.refused = "concurrency"
            await errors.busy()(scope, receive, send)
            return
        # Once the answer begins, the work is done. A client that reads slowly has time, and takes nobody's place.
        exchange.on_start = exchange.step_aside = partial(self._places.leave, task)
        exchange.step_back = partial(self._places.take_again, task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._places.has_expired(task):
                raise
            exchange.refused = "request_timeout"
            await errors.overdue()(scope, receive, send)
        finally:
            self._places.leave(task)
