"""Polls a kafka-python consumer, and converts its errors to ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from kafka.errors import (
    CorruptRecordError,
    FencedInstanceIdError,
    LogTruncationError,
    OffsetOutOfRangeError,
)

from events.errors import LogCorrupt, LogGap, LogUnavailable
from events.logs.kafka.client import kafka_errors
from events.logs.kafka.static_member import fenced
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Partition, Position, Record

# Longest single wait for records, in seconds. Between waits, new partitions and positions are checked: kafka-python
# reports new partitions only to a listener in another thread, and does not report that a position has passed a
# transaction marker. Also, if an answer arrives while kafka-python decides whether to fetch more, it sleeps instead of
# returning the records.
SLICE_S = 0.02

# By kafka-python's partition.
Found = Mapping[Any, Sequence[Record]]


def found_by(consumer: Any, settings: KafkaSettings, timeout_s: float, max_records: int) -> Found:
    """Polls once. Raises LogUnavailable, LogMissing, LogGap, LogCorrupt."""
    # kafka-python sets fetched records of a paused partition aside. After `resume` it returns them only between records
    # of other partitions, which may never happen, and until then it does not fetch the partition.
    set_aside = consumer._fetcher._paused_partition_records
    for topic_partition in [one for one in set_aside if not consumer._subscription.is_paused(one)]:
        del set_aside[topic_partition]
    try:
        with kafka_errors(settings):
            found: Found = consumer.poll(timeout_ms=timeout_s * 1000, max_records=max_records)
    except LogUnavailable as error:
        raise _meaning(settings, error) or error from error.__cause__
    return found


def drop_fetched(consumer: Any) -> None:
    """Drops fetched records that were not returned: kafka-python would keep them if a seek leads to their offset."""
    consumer._fetcher.close()
    consumer._fetcher._completed_fetches.clear()


def _meaning(settings: KafkaSettings, error: LogUnavailable) -> LogCorrupt | LogGap | LogUnavailable | None:
    match error.__cause__:
        case CorruptRecordError() as cause:
            # A retry would never return: kafka-python does not skip the record.
            return LogCorrupt(f"{settings}: a record cannot be read: {cause}")
        case OffsetOutOfRangeError(args=(dict() as sought,)):
            at = ", ".join(str(Position(Partition(*tp), offset)) for tp, offset in sought.items())
            return LogGap(f"{at} is not in the log: dropped by retention, truncated, or the topic was created again")
        case LogTruncationError(divergent_offsets=divergent):
            at = ", ".join(str(Partition(*topic_partition)) for topic_partition in divergent)
            return LogGap(f"{at}: the broker lost records that we have read, by an unclean leader election")
        case FencedInstanceIdError() as cause:
            return fenced(settings, f"{cause.message}: {cause.description}")
    return None
