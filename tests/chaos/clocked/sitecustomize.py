"""Another wall clock. On PYTHONPATH, each process goes by it: CLOCK_FILE says how many seconds it is ahead of ours.
`datetime.now` is not shifted: what it makes is shown, and nothing is decided by it.

Not libfaketime, which shifts what a process sleeps until on the steady clock, too; the kernel leaves that alone.
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
