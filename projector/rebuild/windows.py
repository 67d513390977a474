"""The log, window by window: how much is folded in memory before each group of it is written once."""

from collections.abc import Collection
from functools import partial

from events.log import Reader
from projector.patience import Insist
from projector.project import Decoded, decode_record
from projector.rebuild.parts import Positions

# A window's records, or bytes of them.
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
# How long one poll waits for records, in seconds, and how many it takes.
POLL_S = 0.2
POLL_RECORDS = 5_000


class Windows:
    """Read from `reader`, which it closes. Of the next window a part may be read while this one is being written.

    `deadly`: positions of events that are not to be touched. Raises what `insist` does.
    """

    def __init__(self, reader: Reader, deadly: Collection[str], insist: Insist, records: int) -> None:
        self._reader = reader
        self._deadly = deadly
        self._insist = insist
        self._records = records
        self._next: list[Decoded] = []
        self._bytes = 0

    def take(self, stop: Positions) -> tuple[list[Decoded], Positions]:
        """The next window, and the positions behind it. What was read on before must lie before `stop`, too."""
        while self._read(POLL_S, POLL_RECORDS, stop):
            pass
        taken, self._next, self._bytes = self._next, [], 0
        return taken, dict(self._reader.positions)

    def read_on(self, stop: Positions, records: int) -> None:
        """At most so many of the window after this one, of those that are there."""
        self._read(0, records, stop)

    def close(self) -> None:
        self._reader.close()

    def _read(self, timeout_s: float, records: int, stop: Positions) -> bool:
        """Whether there were any, and room for them."""
        room = self._records - len(self._next)
        if room <= 0 or self._bytes >= WINDOW_BYTES:
            return False
        found = self._insist(partial(self._reader.poll, timeout_s, min(records, room), stop))
        self._next += [decode_record(record, self._deadly) for record in found]
        self._bytes += sum([len(record.value or b"") for record in found])
        return bool(found)
