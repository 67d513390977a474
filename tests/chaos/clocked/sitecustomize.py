"""Shifts the wall clock of each process with this folder on PYTHONPATH, by the seconds in CLOCK_FILE.

`datetime.now` is not shifted: its results are only displayed. libfaketime is no alternative: it also shifts sleeps on
the monotonic clock, which a real step of the wall clock does not.
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
