"""Looks up single records of Kafka by their offsets."""

import time
from collections.abc import Mapping

from events.errors import LogError, LogGap, LogUnavailable
from events.logs.kafka.reader import KafkaReader
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Partition, Position, Record

# Time limits of a look-up, and of each poll in it, in seconds.
LOOK_UP_S = 10.0
POLL_S = 0.2


class KafkaLookUp:
    """Keeps its reader connected: the first record of a new reader takes more than 100 ms."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader: KafkaReader | None = None

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record]:
        """Returns the records at these offsets, all within the log. Raises LogUnavailable, LogMissing, LogCorrupt."""
        try:
            return self._read(offsets)
        except LogError as error:
            self.close()
            if isinstance(error, LogGap):
                raise LogUnavailable(f"{error}; it was there just before") from error
            raise

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _read(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record]:
        found: dict[Partition, Record] = {}
        reader, deadline_s = self._sought(offsets), time.monotonic() + LOOK_UP_S
        stop = {partition: offset + 1 for partition, offset in offsets.items()}
        while late := [Position(p, offset) for p, offset in offsets.items() if reader.positions[p] <= offset]:
            if time.monotonic() > deadline_s:
                where = ", ".join(map(str, late))
                raise LogUnavailable(f"{self._settings}: {where} could not be read within {LOOK_UP_S:.0f} s")
            found.update({record.partition: record for record in reader.poll(POLL_S, len(offsets), stop)})
        return found

    def _sought(self, offsets: Mapping[Partition, int]) -> KafkaReader:
        reader = self._reader
        if reader is None or not offsets.keys() <= reader.positions.keys():
            self.close()
            # An open transaction must not hide a record.
            reader = self._reader = KafkaReader(self._settings, offsets, committed=False)
        reader.seek(offsets)
        return reader
