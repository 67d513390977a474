"""How many requests are at work at a time, and for how long each."""

import asyncio
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.observe import exchange_of

_Task = asyncio.Task[object]


class Places:
    """At most `most` tasks at a time, `timeout_ms` for each; then it is cancelled.

    All have the same time, so they are due in the order in which they came, and one timer does for all:
    asyncio.timeout costs 3 us, a tenth of which is left.
    """

    def __init__(self, most: int, timeout_ms: int) -> None:
        self._most = most
        self._timeout_s = timeout_ms / 1000
        # task -> the loop's time at which it is due, in ascending order.
        self._due: dict[_Task, float] = {}
        self._expired: set[_Task] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        return len(self._due)

    def take(self, task: _Task) -> bool:
        """False where there is none left."""
        if len(self._due) >= self._most:
            return False
        self.take_again(task)
        return True

    def take_again(self, task: _Task) -> None:
        """For one that was let in and stepped aside: it is not sent away, though there may be one more than allowed."""
        loop = task.get_loop()
        self._due[task] = due_s = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._look, loop)

    def leave(self, task: _Task) -> None:
        """At any time, as often as you like."""
        self._due.pop(task, None)

    def has_expired(self, task: _Task) -> bool:
        """Whether its cancellation is ours. Tells so once."""
        if task not in self._expired:
            return False
        self._expired.remove(task)
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._due:
            task, due_s = next(iter(self._due.items()))
            if due_s > loop.time():
                self._timer = loop.call_at(due_s, self._look, loop)
                return
            del self._due[task]
            self._expired.add(task)
            task.cancel()


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
            # As in asyncio.timeout: what somebody else cancelled too stays cancelled.
            if not self._places.has_expired(task) or task.uncancel() > 0:
                raise
            exchange.refused = "request_timeout"
            await errors.overdue()(scope, receive, send)
        finally:
            self._places.leave(task)
