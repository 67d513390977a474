"""Reads Kafka from given positions, without a consumer group, for replays and exports."""

import logging
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from events.errors import LogMissing
from events.logs.kafka.client import REQUEST_MS, Brokers, connected, missing
from events.logs.kafka.records import SLICE_S, drop_fetched, found_by
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Partition, Record

# How long a broker waits for new records before it answers a fetch, in milliseconds.
FETCH_WAIT_MS = 100
# Size of one answer, in bytes; together with the answer being read, twice that is in memory per broker. A partition is
# fetched again only when its last answer is consumed, so few large answers keep the broker busier.
FETCH_BYTES_MAX = 16 * 1024 * 1024
FETCH_PARTITION_BYTES_MAX = 4 * 1024 * 1024
# How soon a deleted topic is noticed, in milliseconds, and how long it must be unknown to count as deleted, in seconds:
# a broker that has just started may not know all topics yet.
METADATA_AGE_MAX_MS = 20_000
MISSING_MAX_S = 5.0
# Time limit of closing, in milliseconds.
CLOSE_MS = 1_000

log = logging.getLogger(__name__)


class KafkaReader:
    """Connects on the first poll that has something to read.

    `committed`: omit records of open and aborted transactions.
    """

    def __init__(self, settings: KafkaSettings, start: Mapping[Partition, int], committed: bool = True) -> None:
        self._settings = settings
        self._isolation = "read_committed" if committed else "read_uncommitted"
        self._positions = dict(start)
        self._names = {partition: TopicPartition(*partition) for partition in start}
        self._consumer: Any = None
        self._brokers: Brokers | None = None
        # The partitions that are not paused.
        self._reading: set[Partition] = set()
        self._known_at_s = 0.0

    @property
    def positions(self) -> Mapping[Partition, int]:
        return MappingProxyType(self._positions)

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        deadline_s = time.monotonic() + timeout_s
        while wanted := {p for p, offset in self._positions.items() if offset < stop.get(p, 0)}:
            left_s = max(deadline_s - time.monotonic(), 0.0)
            consumer = self._opened()
            self._read_only(consumer, wanted)
            records = self._records(consumer, min(left_s, SLICE_S), max_records, stop)
            if records:
                return records
            if left_s <= SLICE_S:
                self._check()
                break
        return []

    def seek(self, positions: Mapping[Partition, int]) -> None:
        """Continues at `positions`, of partitions given to the constructor. Drops fetched records."""
        self._positions.update(positions)
        if self._consumer is not None:
            drop_fetched(self._consumer)
            for partition, offset in positions.items():
                self._consumer.seek(self._names[partition], offset)

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except KafkaError as error:
                log.debug("could not close: %s", error)

    def _opened(self) -> Any:
        if self._consumer is None:
            self._consumer, self._brokers = connected(
                KafkaConsumer,
                self._settings,
                group_id=None,
                enable_auto_commit=False,
                # An offset that the log no longer holds is an error, never a jump.
                auto_offset_reset="none",
                isolation_level=self._isolation,
                check_crcs=True,
                request_timeout_ms=REQUEST_MS,
                metadata_max_age_ms=METADATA_AGE_MAX_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=FETCH_BYTES_MAX,
                max_partition_fetch_bytes=FETCH_PARTITION_BYTES_MAX,
                metrics_enabled=False,
            )
            self._consumer.assign(self._names.values())
            for partition, name in self._names.items():
                self._consumer.seek(name, self._positions[partition])
            self._reading = set(self._names)
            self._known_at_s = time.monotonic()
        return self._consumer

    def _read_only(self, consumer: Any, wanted: set[Partition]) -> None:
        if wanted != self._reading:
            consumer.pause(*(self._names[partition] for partition in self._reading - wanted))
            consumer.resume(*(self._names[partition] for partition in wanted - self._reading))
            self._reading = wanted

    def _records(
        self, consumer: Any, timeout_s: float, max_records: int, stop: Mapping[Partition, int]
    ) -> list[Record]:
        found = found_by(consumer, self._settings, timeout_s, max_records)
        records: list[Record] = []
        for partition in self._reading:
            name = self._names[partition]
            of_one = found.get(name, ())
            if of_one and of_one[-1].offset >= stop[partition]:
                of_one = of_one[: bisect_left(of_one, stop[partition], key=attrgetter("offset"))]
                # A later poll must return the records after the stop.
                consumer.seek(name, stop[partition])
            records += of_one
            # Not by `position`, which may call the brokers, and fail after the records were consumed.
            self._positions[partition] = consumer._subscription.assignment[name].position.offset
        return records

    def _check(self) -> None:
        """Raises LogUnavailable or LogMissing if that explains an empty poll: kafka-python retries without end."""
        assert self._brokers is not None, "there is no consumer without"
        self._brokers.check(self._settings)
        now_s = time.monotonic()
        known = self._brokers.partitions_of(self._settings.topic)
        unknown = [str(partition) for partition in self._names if partition.number not in known]
        if not unknown:
            self._known_at_s = now_s
        elif now_s - self._known_at_s > MISSING_MAX_S:
            raise LogMissing(f"{self._settings} has no {', '.join(unknown)}") if known else missing(self._settings)
