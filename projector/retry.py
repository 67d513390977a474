"""Waiting for a log or a Redis that is away, without hurrying it and without giving up."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from events.errors import LogUnavailable
from projector.errors import StoreUnavailable
from projector.readmodel.client.refusals import Refusal

# The first and the longest pause before a call is tried again, in seconds; each is drawn from 0.5 to 1 times as much.
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0

# Returns what the call returns, however often it has to be made.
Retry = Callable[[Callable[[], Any]], Any]

T = TypeVar("T")
log = structlog.get_logger("projector")


class Retrying:
    """Stands for an object whose methods raise StoreUnavailable: each call is made until there is an answer."""

    def __init__(self, inner: object, retry: Retry) -> None:
        self._inner = inner
        self._retry = retry

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        return self._retry(partial(method, *arguments))


class Stopped(Exception):
    """Asked to stop while waiting."""


class Waiter(Protocol):
    """Who wants to know that something is waited for."""

    def wait(self, on: str, reason: str) -> None:
        """`on`: redis or log. With every attempt that failed."""

    def go_on(self) -> object: ...


def retry(stop: threading.Event, call: Callable[[], T], waiter: Waiter | None = None) -> T:
    """Tries until there is an answer. Raises Stopped if asked to stop before, and whatever waiting cannot mend.

    An incident has two lines in the log: when it begins, and when it is over. In between, an error without a name
    (OTHER) has a line whenever the text changes.
    """
    try:
        return call()
    except (StoreUnavailable, LogUnavailable) as error:
        log.warning("waiting", reason=str(error))
        return _wait(stop, call, waiter, error)


def _wait(
    stop: threading.Event, call: Callable[[], T], waiter: Waiter | None, error: StoreUnavailable | LogUnavailable
) -> T:
    pause_s, began_s, attempts = PAUSE_FIRST_S, time.monotonic(), 1
    while True:
        if waiter is not None:
            waiter.wait("redis" if isinstance(error, StoreUnavailable) else "log", str(error))
        if stop.wait(pause_s * random.uniform(0.5, 1.0)):
            raise Stopped from error
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
        attempts += 1
        try:
            answer = call()
        except (StoreUnavailable, LogUnavailable) as another:
            if getattr(another, "refusal", None) == Refusal.OTHER and str(another) != str(error):
                log.warning("waiting", reason=str(another))
            error = another
            continue
        if waiter is not None:
            waiter.go_on()
        log.info("going on", waited_s=round(time.monotonic() - began_s, 3), attempts=attempts, last_reason=str(error))
        return answer
