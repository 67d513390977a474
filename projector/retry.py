"""Retries calls with exponential backoff while the log or Redis is unavailable, or only logs that they failed."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from events.errors import LogUnavailable
from projector.errors import FatalError, StoreUnavailable
from projector.readmodel.client.refusals import Refusal

# The first and the longest pause between attempts, in seconds. Each pause is multiplied by 0.5 to 1, at random.
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0
# How often the log is reminded of an outage that lasts, in seconds.
REMIND_S = 60.0

# Returns the call's result, after as many attempts as it takes.
Retry = Callable[[Callable[[], Any]], Any]

T = TypeVar("T")
log = structlog.get_logger("projector")


class Retrying:
    """Wraps an object so that each call of a method that raises StoreUnavailable is retried."""

    def __init__(self, inner: object, retry: Retry) -> None:
        self._inner = inner
        self._retry = retry

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        return self._retry(partial(method, *arguments))


class Stopped(Exception):
    """A stop was requested during a retry."""


class Waiter(Protocol):
    """Receives the start and the end of an outage."""

    def wait(self, on: str, reason: str) -> None:
        """Called after every failed attempt. `on`: redis or log."""

    def resume(self) -> object: ...


def retry(stop: threading.Event, call: Callable[[], T], waiter: Waiter | None = None) -> T:
    """Calls until StoreUnavailable and LogUnavailable are gone. Raises Stopped once `stop` is set, and other errors.

    An outage has a log line at its start, one a minute while it lasts, and one at its end. In between, an unclassified
    error (OTHER) is logged whenever its text changes.
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
    logged_s = began_s
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
            if time.monotonic() - logged_s >= REMIND_S:
                logged_s = time.monotonic()
                log.warning("still waiting", reason=str(error), waited_s=round(logged_s - began_s), attempts=attempts)
            continue
        if waiter is not None:
            waiter.resume()
        log.info("resumed", waited_s=round(time.monotonic() - began_s, 3), attempts=attempts, last_reason=str(error))
        return answer


@contextmanager
def in_thread(name: str, run: Callable[[threading.Event], None], join_s: float) -> Iterator[None]:
    """Runs `run` beside the `with` block. At the end its argument is set, and it has `join_s` seconds to return."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(join_s)


class Beside:
    """Logs failures of what runs beside the main loop: a reason once, until a success or another reason.

    `needs_redis`: whether the main loop needs Redis as well, and logs itself why it has none.
    """

    def __init__(self, failure: str, *, needs_redis: bool = True) -> None:
        self._failure = failure
        self._needs_redis = needs_redis
        self._reason = ""

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Logs StoreUnavailable and FatalError of one attempt instead of raising them."""
        try:
            yield
        except (StoreUnavailable, FatalError) as error:
            is_known = isinstance(error, StoreUnavailable) and error.refusal not in (Refusal.NOPERM, Refusal.OTHER)
            if self._needs_redis and is_known:
                return
            if str(error) != self._reason:
                log.warning(self._failure, reason=str(error))
            self._reason = str(error)
        else:
            self._reason = ""
