"""Brings what is expected to the positions of a shard that was read.

What is expected can only advance. If a shard lags behind it, the shard is read again until it has caught up, as long as
its positions change.
"""

import time
from collections.abc import Callable
from functools import partial

from events.logs.log import Log
from projector.errors import FatalError
from projector.rebuild.windows import POLL_RECORDS, POLL_S
from projector.retry import Retry
from projector.verify.expected import Expected, OnChanged
from projector.verify.shards import Answer, Positions

# How long the positions of a lagging shard may stay unchanged, and how often it is read, in seconds.
STALL_MAX_S = 10.0
READ_EVERY_S = 0.02


class Alignment:
    """`heartbeat` is called before each read."""

    def __init__(self, expected: Expected, log: Log, retry: Retry, heartbeat: Callable[[], None]) -> None:
        self._expected = expected
        self._log = log
        self._retry = retry
        self._heartbeat = heartbeat

    def read(self, read_shard: Callable[[], Answer], on_changed: OnChanged) -> Answer:
        """Returns an answer of `read_shard` after advancing what is expected to its positions. Raises FatalError."""
        changed_at_s, previous = time.monotonic(), None
        while True:
            self._heartbeat()
            answer = read_shard()
            positions = answer.positions
            if not self._is_behind(positions):
                break
            if positions != previous:
                changed_at_s, previous = time.monotonic(), positions
            elif time.monotonic() - changed_at_s > STALL_MAX_S:
                if self._has_no_events_after(positions):
                    break
                raise FatalError(
                    f"a shard stays at {_text(positions)} for {STALL_MAX_S:g} s, behind another one at "
                    f"{_text(self._expected.positions)}: start a projector, then verify again"
                )
            time.sleep(READ_EVERY_S)
        self.advance(positions, on_changed)
        return answer

    def advance(self, positions: Positions, on_changed: OnChanged) -> None:
        """Advances what is expected to `positions`, where it is not there already."""
        self._expected.advance({p: max(at, self._expected.positions[p]) for p, at in positions.items()}, on_changed)

    def _is_behind(self, positions: Positions) -> bool:
        return any(offset < self._expected.positions[p] for p, offset in positions.items())

    def _has_no_events_after(self, positions: Positions) -> bool:
        """Returns whether the shard lacks no events, only offsets that the log uses for itself."""
        stop = self._expected.positions
        reader = self._retry(partial(self._log.read, positions))
        try:
            while any(reader.positions[p] < offset for p, offset in stop.items()):
                if self._retry(partial(reader.poll, POLL_S, POLL_RECORDS, stop)):
                    return False
            return True
        finally:
            reader.close()


def _text(positions: Positions) -> str:
    return ", ".join(f"{partition}@{offset}" for partition, offset in sorted(positions.items()))
