"""Cuts what is polled into batches, each of which is one commit."""

from collections.abc import Iterator, Sequence

from events.log import Record

# How many records one commit takes: each takes Redis some 30 us, if each changes a group of its own.
BATCH_RECORDS_MAX = 100
# How many bytes of records one commit takes. What is written grows with what is read.
BATCH_BYTES_MAX = 512 * 1024


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
