"""Reads the log in windows: the records that are folded in memory before each of their groups is written once."""

from collections.abc import Collection, Sequence
from functools import partial

from events.errors import LogError, LogUnavailable
from events.logs.log import Reader, Record
from projector.project import Decoded, decode_record
from projector.rebuild.parts import Positions
from projector.retry import Retry

# The most records of a window, and the bytes of values at which it is full.
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
# How long one poll waits for records, in seconds, and how many it takes.
POLL_S = 0.2
POLL_RECORDS = 5_000
# The number of polls in which a window is read ahead. More would cost too many calls; with fewer, each would return so
# many records that Redis has written its part before they are decoded.
READ_AHEAD_POLLS = 100


class Windows:
    """Reads windows of at most `records` records from `reader`, which it closes.

    A part of the next window can be read ahead while the current one is written. `poison_pills`: positions of events
    that must not be decoded.
    """

    def __init__(self, reader: Reader, poison_pills: Collection[str], retry: Retry, records: int) -> None:
        self._reader = reader
        self._poison_pills = poison_pills
        self._retry = retry
        self._records = records
        self._next: list[Decoded] = []
        self._bytes = 0
        self._written = 0
        # Why reading ahead failed; raised by the next `take`.
        self._failed: LogError | None = None

    def take(self, stop: Positions) -> tuple[list[Decoded], Positions]:
        """Returns the next window, up to `stop`, and the positions after it. `stop` must not precede that of earlier
        calls of `read_ahead`. Raises what `retry` raises, and what the log raises except LogUnavailable.
        """
        failed, self._failed = self._failed, None
        if failed and not isinstance(failed, LogUnavailable):
            raise failed
        while (room := self._room) and self._add(
            self._retry(partial(self._reader.poll, POLL_S, min(POLL_RECORDS, room), stop))
        ):
            pass
        taken, self._next, self._bytes, self._written = self._next, [], 0, 0
        return taken, dict(self._reader.positions)

    def read_ahead(self, stop: Positions, written: int) -> None:
        """Reads as many available records of the next window as were `written` of the current one. Raises nothing, so
        that the current window can still be written; the next `take` raises the error, or waits.
        """
        self._written += written
        if self._written < self._records // READ_AHEAD_POLLS or self._failed or not self._room:
            return
        try:
            self._add(self._reader.poll(0, min(self._written, self._room), stop))
            self._written = 0
        except LogError as error:
            self._failed = error

    def close(self) -> None:
        self._reader.close()

    @property
    def _room(self) -> int:
        """How many more records fit into the window."""
        return self._records - len(self._next) if self._bytes < WINDOW_BYTES else 0

    def _add(self, records: Sequence[Record]) -> bool:
        """Returns whether there were any records."""
        self._next += [decode_record(record, self._poison_pills) for record in records]
        self._bytes += sum([len(record.value or b"") for record in records])
        return bool(records)
