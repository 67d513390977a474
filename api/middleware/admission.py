"""Limits the number of concurrent requests, and the time of each."""

import asyncio
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.middleware.observe import exchange_of
from projector.readmodel.client.deadlines import Deadlines, Task


class Slots:
    """Slots for at most `maximum` tasks. A task that holds one for longer than `timeout_ms` is cancelled."""

    def __init__(self, maximum: int, timeout_ms: int) -> None:
        self._maximum = maximum
        self._timeout_s = timeout_ms / 1000
        self._deadlines = Deadlines()
        self.release = self._deadlines.drop
        self.has_expired = self._deadlines.has_expired

    @property
    def taken(self) -> int:
        return len(self._deadlines)

    def take(self, task: Task) -> bool:
        """Returns False if no slot is free."""
        if len(self._deadlines) >= self._maximum:
            return False
        self.retake(task)
        return True

    def retake(self, task: Task) -> None:
        """For an admitted task that had released its slot. Never fails, so the maximum may be exceeded."""
        self._deadlines.set(task, task.get_loop().time() + self._timeout_s)


class Admission:
    """Middleware inside `Gate`, so that requests without credentials take no slots.

    `exempt_paths` need no slot; their routes have time limits of their own.
    """

    def __init__(self, app: ASGIApp, slots: Slots, exempt_paths: frozenset[str]) -> None:
        self._app = app
        self._slots = slots
        self._exempt_paths = exempt_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt_paths:
            await self._app(scope, receive, send)
            return
        exchange, task = exchange_of(scope), asyncio.current_task()
        assert task is not None
        if not self._slots.take(task):
            exchange.refused = "concurrency"
            await errors.busy()(scope, receive, send)
            return
        # Once the answer begins, the work is done: a client that reads slowly holds no slot.
        exchange.release_slot = partial(self._slots.release, task)
        exchange.retake_slot = partial(self._slots.retake, task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._slots.has_expired(task):
                raise
            exchange.refused = "request_timeout"
            await errors.overdue()(scope, receive, send)
        finally:
            self._slots.release(task)
