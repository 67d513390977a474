"""The log, window by window: how much is folded in memory before each group of it is written once."""

from collections.abc import Collection, Sequence
from functools import partial

from events.errors import LogError, LogUnavailable
from events.logs.log import Reader, Record
from projector.project import Decoded, decode_record
from projector.rebuild.parts import Positions
from projector.retry import Retry

# A window has at most so many records, and is full with so many bytes of them.
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
# How long one poll waits for records, in seconds, and how many it takes.
POLL_S = 0.2
POLL_RECORDS = 5_000
# In how many polls a window is read on. Each takes a while, however few records there are; were they many, Redis would
# have written its part before they are decoded.
READ_ON_POLLS = 100


class Windows:
    """Read from `reader`, which it closes. Of the next window a part may be read while this one is being written.

    `poison_pills`: positions of events that are not to be touched. `records`: of a window, at most.
    """

    def __init__(self, reader: Reader, poison_pills: Collection[str], retry: Retry, records: int) -> None:
        self._reader = reader
        self._poison_pills = poison_pills
        self._retry = retry
        self._records = records
        self._next: list[Decoded] = []
        self._bytes = 0
        self._written = 0
        # Why nothing more can be read on for now.
        self._failed: LogError | None = None

    def take(self, stop: Positions) -> tuple[list[Decoded], Positions]:
        """The next window, and the positions behind it. What was read on must lie before `stop`, too.

        Raises what `retry` does, and what the log does but for LogUnavailable.
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

    def read_on(self, stop: Positions, written: int) -> None:
        """As many records of the window after this one as were `written` of this one, if they are there. Raises
        nothing: whatever is wrong with the log, this window can be written. `take` tells, or waits.
        """
        self._written += written
        if self._written < self._records // READ_ON_POLLS or self._failed or not self._room:
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
        """For how many records."""
        return self._records - len(self._next) if self._bytes < WINDOW_BYTES else 0

    def _add(self, records: Sequence[Record]) -> bool:
        """Whether there were any."""
        self._next += [decode_record(record, self._poison_pills) for record in records]
        self._bytes += sum([len(record.value or b"") for record in records])
        return bool(records)
