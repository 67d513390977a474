"""Reads the log in windows: the records that are folded in memory before their groups are written."""

from collections.abc import Container, Mapping
from functools import partial

from events.logs.log import Partition, Reader
from projector.project import Decoded, decode_record
from projector.retry import Retry

# The most records of a window, and the bytes at which it is full: of the records, and of the groups loaded for them.
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
# How long one poll waits for records, in seconds, and how many it takes.
POLL_S = 0.2
POLL_RECORDS = 5_000


class Windows:
    """`poison_pills`: positions of events that must not be decoded."""

    def __init__(
        self,
        reader: Reader,
        poison_pills: Container[str],
        retry: Retry,
        personal_data: bool = True,
    ) -> None:
        self._reader = reader
        self._retry = retry
        self._decode = partial(decode_record, poison_pills=poison_pills, personal_data=personal_data)

    @property
    def positions(self) -> Mapping[Partition, int]:
        """Where the next window begins."""
        return self._reader.positions

    def take(self, stop: Mapping[Partition, int]) -> list[Decoded]:
        """Returns the next window, up to `stop`. Raises what `retry` and the log raise."""
        window: list[Decoded] = []
        size = 0
        while (room := WINDOW_RECORDS - len(window)) > 0 and size < WINDOW_BYTES:
            records = self._retry(partial(self._reader.poll, POLL_S, min(POLL_RECORDS, room), stop))
            if not records:
                break
            window += map(self._decode, records)
            size += sum([len(record.value or b"") for record in records])
        return window
