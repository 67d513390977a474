"""What comes out of a kafka-python consumer, as our records, and what its errors mean."""

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
from events.logs.kafka.url import KafkaSettings
from events.logs.log import Headers, Partition, Position, Record

# Waiting for records is done in slices of this length, in seconds. kafka-python tells of new partitions only to a
# listener in another thread, and nobody that a position has passed a transaction's marker: these are looked at in
# between. And where an answer comes just while it looks whether to fetch more, it takes that for having nothing to wait
# for, and sleeps with the records in its hands.
SLICE_S = 0.02

# kafka-python's records of each of its partitions. Each is a tuple of 13: see `records_of`.
Found = Mapping[Any, Sequence[Any]]


def found_by(consumer: Any, settings: KafkaSettings, timeout_s: float, max_records: int) -> Found:
    """One poll. Raises LogUnavailable, LogMissing, LogGap, LogCorrupt."""
    # What kafka-python has set aside of a partition while that was paused, it takes back only where there is a gap
    # between the records of others. There may never be one again, and until then it does not fetch the partition.
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
    """Drops what was fetched and not handed out yet: kafka-python keeps it if a seek leads to its very offset."""
    consumer._fetcher.close()
    consumer._fetcher._completed_fetches.clear()


def records_of(partition: Partition, found: Sequence[Any]) -> list[Record]:
    # Taken apart by place, as the tuples they are: this line is half the cost of a record on our side.
    return [
        Record(partition, offset, ms, key, value, _headers(headers) if headers else (), epoch)
        for _, _, epoch, offset, ms, _, key, value, headers, _, _, _, _ in found
    ]


def _headers(found: Sequence[Any]) -> Headers:
    # `str`: a name may be a RawName of kafka_batches.py.
    return tuple([(str(name), value or b"") for name, value in found])


def _meaning(settings: KafkaSettings, error: LogUnavailable) -> LogCorrupt | LogGap | LogUnavailable | None:
    match error.__cause__:
        case CorruptRecordError() as cause:
            # Asked again, kafka-python would never answer.
            return LogCorrupt(f"{settings}: a record cannot be read: {cause}")
        case OffsetOutOfRangeError(args=(dict() as sought,)):
            at = ", ".join(str(Position(Partition(*tp), offset)) for tp, offset in sought.items())
            return LogGap(f"{at} is not in the log: retention or a truncation took it, or the topic was made anew")
        case LogTruncationError(divergent_offsets=divergent):
            at = ", ".join(str(Partition(*topic_partition)) for topic_partition in divergent)
            return LogGap(f"{at}: the broker lost records that we have read (an unclean leader election)")
        case FencedInstanceIdError():
            return LogUnavailable(f"{settings}: another process is the instance {settings.instance!r} of our group")
    return None
