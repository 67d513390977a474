"""A log in one Kafka topic. It connects on first use."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaProducer, OffsetSpec, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError, for_code
from kafka.serializer import Serializer

from events.errors import LogMissing, LogUnavailable, RecordTooLarge
from events.logs.kafka.batches import sendable_name
from events.logs.kafka.client import CONNECT_MS, REQUEST_MS, connected, kafka_errors
from events.logs.kafka.look_up import KafkaLookUp
from events.logs.kafka.reader import KafkaReader
from events.logs.kafka.static_member import StaticMember
from events.logs.kafka.subscription import KafkaSubscription
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Entry, Loss, Partition, Position, Reader, Record, Subscription

# Time limit of an append, in milliseconds.
DELIVERY_MS = 30_000
# How long the producer waits to fill a batch, in milliseconds.
LINGER_MS = 5
# Size of a batch before compression, in bytes: larger batches compress better.
BATCH_BYTES = 128 * 1024
# The largest record, in bytes: an event of 1 MiB with its key and headers.
RECORD_BYTES_MAX = 1024 * 1024 + 64 * 1024
# Events are never deleted, so their size matters. Every client since Kafka 2.1 reads zstd.
COMPRESSION = "zstd"
# Time limit of closing a producer, in seconds; it has nothing left to send.
CLOSE_S = 0.5

# Unix milliseconds. The first record that is not older is the oldest record.
_SINCE_1970 = 0
_FOR_EVER = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
}


class KafkaLog:
    """Not thread-safe, nor are its subscriptions, but each of them may have its own thread."""

    def __init__(
        self, settings: KafkaSettings, record_bytes_max: int = RECORD_BYTES_MAX, delivery_ms: int | None = None
    ) -> None:
        """`record_bytes_max`: limit of topics that we create. `delivery_ms`: time limit of an append, by default
        DELIVERY_MS.
        """
        self.topic = settings.topic
        self._settings = settings
        self._record_bytes_max = record_bytes_max
        self._delivery_ms = DELIVERY_MS if delivery_ms is None else delivery_ms
        self._opened_admin: Any = None
        self._opened_producer: Any = None
        self._look_up = KafkaLookUp(settings)
        self._member = StaticMember(settings)

    def partitions(self) -> list[Partition]:
        partitions = self._described()["partitions"]
        return sorted(Partition(self.topic, partition["partition_index"]) for partition in partitions)

    def first(self) -> dict[Partition, int]:
        return {partition: found.offset for partition, found in self._offsets(OffsetSpec.EARLIEST).items()}

    def first_times(self) -> dict[Partition, int | None]:
        found = self._offsets(_SINCE_1970)
        return {partition: None if at.offset < 0 else at.timestamp for partition, at in found.items()}

    def end(self) -> dict[Partition, int]:
        return {partition: found.offset for partition, found in self._offsets(OffsetSpec.LATEST).items()}

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        wanted = {TopicPartition(*partition): OffsetSpec.LATEST for partition in end}
        with kafka_errors(self._settings):
            stable = self._admin().list_partition_offsets(wanted, isolation_level="read_committed")
        # The log may have grown since `end` was read.
        return {partition: max(at - stable[TopicPartition(*partition)].offset, 0) for partition, at in end.items()}

    def losses(self) -> dict[Loss, str]:
        self.partitions()
        resource = ConfigResource(ConfigResourceType.TOPIC, self.topic, None)
        with kafka_errors(self._settings):
            described = self._admin().describe_configs([resource], config_filter="all")
        found = {name: setting["value"] for name, setting in described["topic"][self.topic].items()}
        if not found:
            raise LogUnavailable(f"{self._settings}: our user may not read the settings of the topic")
        losses = {}
        if "compact" in found["cleanup.policy"]:
            losses[Loss.COMPACTION] = (
                f"topic {self.topic} has cleanup.policy={found['cleanup.policy']}, which drops all but the last event "
                "of each group; expected: cleanup.policy=delete"
            )
        finite = [name for name in ("retention.ms", "retention.bytes") if found[name] != "-1"]
        if finite and "delete" in found["cleanup.policy"]:
            losses[Loss.RETENTION] = (
                f"topic {self.topic} has {' and '.join(f'{name}={found[name]}' for name in finite)}, which drops old "
                f"events; expected: {' and '.join(f'{name}=-1' for name in finite)}"
            )
        return losses

    def create(self) -> bool:
        topic = {
            "num_partitions": self._settings.partitions,
            "replication_factor": self._settings.replication,
            "configs": _FOR_EVER | {"max.message.bytes": str(self._record_bytes_max)},
        }
        with kafka_errors(self._settings):
            try:
                self._admin().create_topics({self.topic: topic})
            except TopicAlreadyExistsError:
                return False
            self._admin().wait_for_topics([self.topic], timeout_ms=REQUEST_MS)
        return True

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        first, end = self.first(), self.end()
        within = {p: offset for p, offset in offsets.items() if p in first and first[p] <= offset < end[p]}
        found = self._look_up.at(within)
        return {partition: found.get(partition) for partition in offsets}

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        producer = self._producer()
        deadline_s = time.monotonic() + self._delivery_ms / 1000
        try:
            with kafka_errors(self._settings):
                sent = [
                    producer.send(self.topic, _sendable(entry), key=entry.key, headers=_sendable_headers(entry))
                    for entry in entries
                ]
                producer.flush(timeout=deadline_s - time.monotonic())
                stored = [future.get(timeout=max(deadline_s - time.monotonic(), 0)) for future in sent]
        except LogUnavailable as error:
            # Its state is unknown: the next append creates another producer.
            self._close_producer()
            if isinstance(error.__cause__, MessageSizeTooLargeError):
                raise RecordTooLarge(str(error)) from error
            raise
        return [Position(Partition(self.topic, at.partition), at.offset + 1) for at in stored]

    def subscribe(self) -> Subscription:
        return KafkaSubscription(self._settings, self._member)

    def read(self, start: Mapping[Partition, int]) -> Reader:
        absent = [str(partition) for partition in start.keys() - set(self.partitions())]
        if absent:
            raise LogMissing(f"{self._settings} has no {', '.join(sorted(absent))}")
        return KafkaReader(self._settings, start)

    def identity(self) -> str:
        """Returns the topic's id, a UUID. Brokers before Kafka 2.8 have none, and return zeros."""
        return str(self._described()["topic_id"])

    def close(self) -> None:
        self._close_producer()
        self._look_up.close()
        admin, self._opened_admin = self._opened_admin, None
        if admin is not None:
            admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _described(self) -> Any:
        with kafka_errors(self._settings):
            topic = self._admin().describe_topics([self.topic])[0]
            if topic["error_code"]:
                raise for_code(topic["error_code"])(self.topic)
        return topic

    def _offsets(self, spec: Any) -> dict[Partition, Any]:
        """Returns kafka-python's result of each partition: `offset`, and for a request by time also `timestamp`."""
        partitions = self.partitions()
        with kafka_errors(self._settings):
            found = self._admin().list_partition_offsets({TopicPartition(*partition): spec for partition in partitions})
        return {partition: found[TopicPartition(*partition)] for partition in partitions}

    def _admin(self) -> Any:
        if self._opened_admin is None:
            self._opened_admin, _ = connected(KafkaAdminClient, self._settings, request_timeout_ms=REQUEST_MS)
        return self._opened_admin

    def _producer(self) -> Any:
        if self._opened_producer is None:
            # Raises LogMissing at once; a producer would wait for a missing topic until its time limit.
            self.partitions()
            self._opened_producer, _ = connected(
                KafkaProducer,
                self._settings,
                enable_idempotence=True,
                acks="all",
                compression_type=COMPRESSION,
                linger_ms=LINGER_MS,
                batch_size=BATCH_BYTES,
                max_request_size=self._record_bytes_max,
                max_block_ms=CONNECT_MS,
                request_timeout_ms=REQUEST_MS,
                delivery_timeout_ms=self._delivery_ms,
                value_serializer=_Values(),
                metrics_enabled=False,
            )
        return self._opened_producer

    def _close_producer(self) -> None:
        producer, self._opened_producer = self._opened_producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=CLOSE_S)
        except KafkaError:
            # It failed waiting for unsent records, among which it counts a batch that it has split.
            producer._sender.force_close()
            producer._sender.join(CLOSE_S)
            producer.close(timeout=CLOSE_S)


# kafka-python refuses a record that has neither key nor value, although Kafka accepts it, and an export may have one.
# It checks before it serializes.
_NO_VALUE = object()


def _sendable(entry: Entry) -> object:
    return _NO_VALUE if entry.value is None and entry.key is None else entry.value


def _sendable_headers(entry: Entry) -> list[tuple[str, bytes]]:
    return [(sendable_name(name), value) for name, value in entry.headers]


class _Values(Serializer):  # type: ignore[misc]  # kafka-python has no types
    def serialize(self, topic: str, headers: object, data: object) -> object:
        return None if data is _NO_VALUE else data
