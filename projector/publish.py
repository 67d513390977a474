"""Publishes a file of CloudEvents or an export. It is checked first: a file with a bad line publishes nothing."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, cast

from events.errors import InvalidEvent
from events.lines import read_lines
from events.logs.log import Entry, Log, Partition

# The records, and their bytes, of one append, which waits until all are durable.
CHUNK_RECORDS = 5_000
CHUNK_BYTES = 8 * 1024 * 1024
# Input that cannot be read twice (a pipe) is kept in memory up to so many bytes, then in a temporary file.
SPOOL_BYTES = 16 * 1024 * 1024

Positions = dict[Partition, int]


class BadLines(Exception):
    """Some lines are neither events of the contract nor exported records. The text counts them."""


def publish_file(
    log: Log, file: BinaryIO, skip_bad: bool, on_bad_line: Callable[[str], None], *, checked: bool = True
) -> tuple[int, int, Positions]:
    """Returns the events published, the lines skipped, and the position after the last event of each partition.

    `on_bad_line` gets a text for every bad line; without `checked`, only a line that is too long is bad.
    Raises BadLines, with nothing published, unless `skip_bad`.
    """
    if file.seekable():
        return _publish(log, file, skip_bad, on_bad_line, checked)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        shutil.copyfileobj(file, spool)
        spool.seek(0)
        return _publish(log, cast(BinaryIO, spool), skip_bad, on_bad_line, checked)


def _publish(
    log: Log, file: BinaryIO, skip_bad: bool, on_bad_line: Callable[[str], None], checked: bool
) -> tuple[int, int, Positions]:
    start = file.tell()
    bad = 0
    for number, found in read_lines(file, checked=checked):
        if isinstance(found, InvalidEvent):
            bad += 1
            on_bad_line(f"line {number}: {found}")
    if bad and not skip_bad:
        raise BadLines(
            f"{bad} bad {'line' if bad == 1 else 'lines'}, nothing published; --skip-bad publishes the others"
        )
    file.seek(start)
    lines = read_lines(file, checked=checked)
    published, positions = publish_entries(log, (found for _, found in lines if isinstance(found, Entry)))
    return published, bad, positions


def publish_entries(log: Log, entries: Iterable[Entry]) -> tuple[int, Positions]:
    published = 0
    positions: Positions = {}
    for chunk in _chunks(entries):
        for partition, offset in log.append(chunk):
            positions[partition] = max(offset, positions.get(partition, 0))
        published += len(chunk)
    return published, positions


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        size += len(entry.value or b"")
        if len(chunk) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
