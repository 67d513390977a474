"""Reads Kafka as a member of a consumer group, at positions that Kafka does not store."""

import logging
import time
from collections.abc import Iterable, Mapping, Set
from itertools import chain
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError

from events.logs.kafka.client import REQUEST_MS, Brokers, connected
from events.logs.kafka.records import SLICE_S, drop_fetched, found_by
from events.logs.kafka.static_member import Fenced, StaticMember, check_membership
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Partition, Polled, Position, Record

# A member without heartbeats for so long counts as dead, and its partitions are reassigned, in milliseconds.
SESSION_MS = 10_000
# How often a member sends a heartbeat, and how soon it learns of a rebalance, in milliseconds.
HEARTBEAT_MS = 1_000
# A live member that has not polled for so long counts as stuck, and its partitions are reassigned, in milliseconds. A
# rebalance waits as long for a busy member.
POLL_INTERVAL_MAX_MS = 60_000
# How soon added partitions are noticed, in milliseconds.
METADATA_AGE_MAX_MS = 20_000
# How long a broker waits for new records before it answers a fetch, in milliseconds. It sends new records at once, but
# a partition that was sought meanwhile has to wait for the answer.
FETCH_WAIT_MS = 100
# Size of one answer, in bytes; together with the answer being read, twice that is in memory per broker.
FETCH_BYTES_MAX = 8 * 1024 * 1024
FETCH_PARTITION_BYTES_MAX = 1024 * 1024
# Time limit of leaving the group, in milliseconds.
CLOSE_MS = 1_000
# The position of a paused partition until `seek` is called for it: without a position, kafka-python would read the
# group's committed offset.
_PLACEHOLDER = 0

log = logging.getLogger(__name__)


class KafkaSubscription(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Connects on the first poll, which may take CONNECT_MS longer than its timeout while no broker answers.

    The methods of ConsumerRebalanceListener run in kafka-python's thread, but only while ours waits for it in `poll` or
    `close`: so no lock is needed.
    """

    def __init__(self, settings: KafkaSettings, member: StaticMember) -> None:
        self._settings = settings
        self._member = member
        self._consumer: Any = None
        self._brokers: Brokers | None = None
        # Partitions that were assigned to us, and not yet sought.
        self._unsought: dict[Any, Partition] = {}
        self._revoked: set[Partition] = set()
        # The next offset to return of each sought partition.
        self._next: dict[Any, int] = {}
        self._reconnections = 0

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        consumer = self._opened()
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(deadline_s - time.monotonic(), 0.0)
            slice_s = 0.0 if self._unsought else min(left_s, SLICE_S)
            records = self._records(consumer, slice_s, max_records)
            interrupted = self._is_interrupted(consumer)
            if interrupted:
                records = []
            if records or interrupted or self._unsought or left_s <= slice_s:
                if not records:
                    assert self._brokers is not None, "there is no consumer without"
                    self._brokers.check(self._settings)
                self._next.update({TopicPartition(*record.partition): record.offset + 1 for record in records})
                revoked, self._revoked = self._revoked, set()
                return Polled(list(self._unsought.values()), records, sorted(revoked), interrupted)

    def seek(self, position: Position) -> None:
        topic_partition = TopicPartition(*position.partition)
        if self._consumer is None or topic_partition not in self._consumer.assignment():
            return
        # kafka-python drops records fetched for the old position: it compares offsets before returning records.
        self._consumer.seek(topic_partition, position.offset)
        self._consumer.resume(topic_partition)
        self._next[topic_partition] = position.offset
        self._unsought.pop(topic_partition, None)

    def pause(self, partition: Partition) -> None:
        topic_partition = TopicPartition(*partition)
        if self._consumer is not None and topic_partition in self._consumer.assignment():
            self._consumer.pause(topic_partition)

    def mark(self, positions: Mapping[Partition, int]) -> None:
        if self._consumer is None:
            return
        owned = self._consumer.assignment()
        offsets = {
            topic_partition: OffsetAndMetadata(offset, "", -1)
            for topic_partition, offset in ((TopicPartition(*p), offset) for p, offset in positions.items())
            if topic_partition in owned
        }
        try:
            if offsets:
                self._consumer.commit_async(offsets, _marked)
        except KafkaError as error:
            _marked(offsets, error)

    def owned(self) -> Set[Partition] | None:
        if self._consumer is None or self._consumer.group_metadata().generation_id < 0:
            return None
        return {Partition(*topic_partition) for topic_partition in self._consumer.assignment()}

    def close(self) -> None:
        """Leaves the group, so that others take over at once; a static member stays a member until its session ends."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._member.joined(consumer.group_metadata().member_id)
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except KafkaError as error:
                log.debug("could not leave the group: %s", error)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        for topic_partition in assigned:
            self._consumer.seek(topic_partition, _PLACEHOLDER)
            self._consumer.pause(topic_partition)
            self._next.pop(topic_partition, None)
            partition = Partition(*topic_partition)
            self._unsought[topic_partition] = partition
            self._revoked.discard(partition)

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        for topic_partition in revoked:
            self._unsought.pop(topic_partition, None)
            self._revoked.add(Partition(*topic_partition))

    def _opened(self) -> Any:
        if self._consumer is None:
            self._member.check()
            self._consumer, self._brokers = connected(
                KafkaConsumer,
                self._settings,
                group_id=self._settings.group,
                group_instance_id=self._settings.instance,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                enable_auto_commit=False,
                # An offset that the log no longer holds is an error, never a jump.
                auto_offset_reset="none",
                isolation_level="read_committed",
                check_crcs=True,
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
                max_poll_interval_ms=POLL_INTERVAL_MAX_MS,
                request_timeout_ms=REQUEST_MS,
                metadata_max_age_ms=METADATA_AGE_MAX_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=FETCH_BYTES_MAX,
                max_partition_fetch_bytes=FETCH_PARTITION_BYTES_MAX,
                metrics_enabled=False,
            )
            self._unsought.clear()
            self._next.clear()
            self._reconnections = self._brokers.reconnections
            self._consumer.subscribe([self._settings.topic], listener=self)
        return self._consumer

    def _is_interrupted(self, consumer: Any) -> bool:
        """Whether there was a reconnection to a broker since the last poll. The broker may have other files now, so
        fetched records are dropped, and fetched again.
        """
        assert self._brokers is not None, "there is no consumer without"
        if self._brokers.reconnections == self._reconnections:
            return False
        self._reconnections = self._brokers.reconnections
        drop_fetched(consumer)
        for topic_partition in self._next.keys() & consumer.assignment():
            consumer.seek(topic_partition, self._next[topic_partition])
        return True

    def _records(self, consumer: Any, timeout_s: float, max_records: int) -> list[Record]:
        # The next poll awaits an unfinished join only while kafka-python considers a join necessary. The leader of the
        # group may have changed that meanwhile, and would never receive its assignment.
        if consumer._coordinator._join_task is not None:
            consumer._coordinator.rejoin_needed = True
        try:
            check_membership(consumer, self._settings)
            polled = found_by(consumer, self._settings, timeout_s, max_records)
        except Fenced:
            # This consumer would be refused for ever. The next poll joins again, once it may.
            self._revoked |= {Partition(*topic_partition) for topic_partition in consumer.assignment()}
            self.close()
            raise
        return [*chain.from_iterable(polled.values())]


def _marked(offsets: Mapping[Any, Any], answer: object) -> None:
    if isinstance(answer, Exception):
        log.debug("could not mark %s: %s", offsets, answer)
