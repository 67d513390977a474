"""Shifts the wall clock of each process that has this on PYTHONPATH: CLOCK_FILE has the seconds that it is ahead.
`datetime.now` is not shifted: what it makes is shown, and nothing is decided by it.

Not libfaketime: it also shifts sleeps on the monotonic clock, which a real step of the clock leaves alone.
"""

import os
import time

_time, _time_ns = time.time, time.time_ns


def _ahead_s() -> int:
    with open(os.environ["CLOCK_FILE"]) as file:
        return int(file.read())


if "CLOCK_FILE" in os.environ:
    time.time = lambda: _time() + _ahead_s()
    time.time_ns = lambda: _time_ns() + _ahead_s() * 10**9
