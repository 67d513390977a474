"""Looking up single records of Kafka, now and then."""

import time
from collections.abc import Mapping

from events.errors import LogError, LogGap, LogUnavailable
from events.logs.kafka.reader import KafkaReader
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Partition, Record

# How long some records may take to come, and each poll for them, in seconds.
LOOK_UP_S = 10.0
POLL_S = 0.2


class KafkaLookUp:
    """Stays connected: a new reader takes more than 100 ms until its first record comes."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader: KafkaReader | None = None

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record]:
        """What there is at these offsets, all within the log. Raises LogUnavailable, LogMissing, LogCorrupt."""
        try:
            return self._read(offsets)
        except LogError as error:
            self.close()
            if isinstance(error, LogGap):
                raise LogUnavailable(f"{error}; it was there a moment ago") from error
            raise

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _read(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record]:
        found: dict[Partition, Record] = {}
        reader, deadline_s = self._sought(offsets), time.monotonic() + LOOK_UP_S
        stop = {partition: offset + 1 for partition, offset in offsets.items()}
        while any(reader.positions[partition] < behind for partition, behind in stop.items()):
            if time.monotonic() > deadline_s:
                raise LogUnavailable(f"{self._settings}: {len(offsets)} records did not come within {LOOK_UP_S:.0f} s")
            found.update({record.partition: record for record in reader.poll(POLL_S, len(offsets), stop)})
        return found

    def _sought(self, offsets: Mapping[Partition, int]) -> KafkaReader:
        reader = self._reader
        if reader is None or not offsets.keys() <= reader.positions.keys():
            self.close()
            # A transaction that is open, there or before it, must not hide a record.
            reader = self._reader = KafkaReader(self._settings, offsets, committed=False)
        reader.seek(offsets)
        return reader
