"""Cuts what is polled into batches, each of which is one commit unless its groups are large."""

from collections.abc import Callable, Iterator, Sequence

from events.logs.log import Record
from projector.project import Decoded

# How many records one commit takes: each takes Redis some 30 us, if each changes a group of its own.
BATCH_RECORDS_MAX = 100
# How many bytes of records one commit takes. What is written grows with what is read.
BATCH_BYTES_MAX = 512 * 1024
# How many bytes of states one commit rewrites. A group is written whole, state and document, even if one of its orders
# changes. This is room for 11 groups of 1000 orders, which keep Redis busy for 20 to 30 ms. With a fifth of it, updates
# of 10 such groups in turn cost the projector 4.8 ms of CPU each instead of 0.7: each group is written more often.
COMMIT_STATE_BYTES_MAX = 2_560 * 1024


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """By count and bytes; a larger record comes alone."""
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
    """Consecutive parts of the batch, each with as many groups as one commit rewrites, or with one that is larger.

    `size`: of a group's state before the batch, in bytes. A part writes each of its groups once, however many of their
    events it has, so the cost of a large group grows with the number of parts and not with that of events. A part is a
    range of records, not a choice of groups: no document is ahead of the positions that are committed with it.
    """
    start, met, total = 0, set[str](), 0
    for i, item in enumerate(batch):
        if item.event is None or item.event.group_id in met:
            continue
        length = size(item.event.group_id)
        if total and total + length > COMMIT_STATE_BYTES_MAX:
            yield batch[start:i]
            start, met, total = i, set(), 0
        met.add(item.event.group_id)
        total += length
    yield batch[start:]
