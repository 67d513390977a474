"""Waiting for a log or a Redis that is away, without hurrying it and without giving up."""

import random
import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from events.errors import LogUnavailable
from projector.errors import StoreUnavailable

# The first and the longest pause before a call is tried again, in seconds; each is drawn from 0.5 to 1 times as much.
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0

T = TypeVar("T")
log = structlog.get_logger("projector")


class Stopped(Exception):
    """Asked to stop while waiting."""


def insist(stop: threading.Event, call: Callable[[], T]) -> T:
    """Tries until there is an answer. Raises Stopped if asked to stop before, and whatever waiting cannot mend."""
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            return call()
        except (StoreUnavailable, LogUnavailable) as error:
            if pause_s == PAUSE_FIRST_S:
                log.warning("waiting", reason=str(error))
            if stop.wait(pause_s * random.uniform(0.5, 1.0)):
                raise Stopped from error
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
