"""Both sides of a comparison at the same positions.

What is expected can be moved on, but not back. A shard may lag behind another one, and so behind what is expected: then
it is waited for, as long as it moves.
"""

import time
from collections.abc import Callable
from functools import partial

from events.logs.log import Log
from projector.errors import FatalError
from projector.rebuild.windows import POLL_RECORDS, POLL_S
from projector.retry import Retry
from projector.verify.expected import Expected, Touched
from projector.verify.shards import Answer, Positions

# How long a shard that lags behind may stand still before it is given up, and how often it is looked at, in seconds.
STILL_MAX_S = 10.0
LOOK_AGAIN_S = 0.02


class Level:
    """`tell` is called again and again while it takes time."""

    def __init__(self, expected: Expected, log: Log, retry: Retry, tell: Callable[[], None]) -> None:
        self._expected = expected
        self._log = log
        self._retry = retry
        self._tell = tell

    def __call__(self, look: Callable[[], Answer], touched: Touched) -> Answer:
        """An answer of `look`, with what is expected moved on to its positions. Raises FatalError."""
        still_since_s, stood = time.monotonic(), None
        while True:
            self._tell()
            answer = look()
            positions = answer.positions
            if not self._is_behind(positions):
                break
            if positions != stood:
                still_since_s, stood = time.monotonic(), positions
            elif time.monotonic() - still_since_s > STILL_MAX_S:
                if self._nothing_between(positions):
                    break
                raise FatalError(
                    f"a shard stands still at {_told(positions)}, behind another one, at "
                    f"{_told(self._expected.positions)}: it can be compared once a projector runs"
                )
            time.sleep(LOOK_AGAIN_S)
        self.move(positions, touched)
        return answer

    def move(self, positions: Positions, touched: Touched) -> None:
        """What is expected, where it is not there already."""
        self._expected.advance({p: max(at, self._expected.positions[p]) for p, at in positions.items()}, touched)

    def _is_behind(self, positions: Positions) -> bool:
        return any(offset < self._expected.positions[p] for p, offset in positions.items())

    def _nothing_between(self, positions: Positions) -> bool:
        """Whether what a shard lacks are no events, but offsets that the log uses for itself."""
        stop = self._expected.positions
        reader = self._retry(partial(self._log.read, positions))
        try:
            while any(reader.positions[p] < offset for p, offset in stop.items()):
                if self._retry(partial(reader.poll, POLL_S, POLL_RECORDS, stop)):
                    return False
            return True
        finally:
            reader.close()


def _told(positions: Positions) -> str:
    return ", ".join(f"{partition}@{offset}" for partition, offset in sorted(positions.items()))
