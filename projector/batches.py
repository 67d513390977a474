"""Cuts polled records into batches. A batch is one commit unless its groups are large."""

from collections.abc import Callable, Iterator, Sequence

from events.logs.log import Record
from projector.project import Decoded

# Records per commit. Redis needs about 30 us for a record that changes a group no other record of the batch changes.
BATCH_RECORDS_MAX = 100
# Records per poll, which costs kafka-python as much as several events. More would take more memory: records have up to
# 1 MiB each.
POLL_RECORDS_MAX = 3 * BATCH_RECORDS_MAX
# Bytes of records per commit: the size of a commit grows with the size of its records.
BATCH_BYTES_MAX = 512 * 1024
# Bytes of groups that one commit rewrites. It writes the whole record of a group even if only one order changed. This
# admits 15 groups of 1000 orders, which keep Redis busy for some 15 ms. With a fifth of it, updates of 10 such groups
# in turn cost the projector seven times as much CPU: each group is written more often.
COMMIT_RECORD_BYTES_MAX = 2_560 * 1024


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Yields batches limited by count and bytes; a record larger than the limit is a batch alone."""
    start, size = 0, 0
    for i, record in enumerate(records):
        length = len(record.value or b"")
        if i > start and (i - start >= BATCH_RECORDS_MAX or size + length > BATCH_BYTES_MAX):
            yield records[start:i]
            start, size = i, 0
        size += length
    if start < len(records):
        yield records[start:]


def commits(batch: Sequence[Decoded], size: Callable[[str], int]) -> Iterator[Sequence[Decoded]]:
    """Yields consecutive parts of the batch: each has as many groups as one commit rewrites, or one larger group.

    `size` returns the bytes of a group before the batch. A part writes each of its groups once, however many of its
    events they have, so the cost of a large group grows with the number of parts, not of events. A part is a range of
    records of the log, not a choice of groups: no document gets ahead of the positions that are committed with it.
    """
    start, seen, total = 0, set[str](), 0
    for i, item in enumerate(batch):
        if item.event is None or item.event.group_id in seen:
            continue
        length = size(item.event.group_id)
        if total and total + length > COMMIT_RECORD_BYTES_MAX:
            yield batch[start:i]
            start, seen, total = i, set(), 0
        seen.add(item.event.group_id)
        total += length
    yield batch[start:]
