"""Exports the log to a file of JSON lines. `projector publish` can make a log from it that folds to the same groups."""

import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from events.errors import LogUnavailable
from events.lines import is_record, is_too_large, line_of
from events.logs.log import Log, Partition, Position, Reader, Record
from projector.errors import BadSetting

# How many records one poll reads.
POLL_RECORDS = 2_000
# How long one poll waits for records, in seconds.
POLL_S = 1.0
# How long the log may return no records before its end, in seconds. With the default of Kafka's producers, the broker
# aborts an open transaction after a minute.
STUCK_S = 90.0

Positions = dict[Partition, int]


class Exported(NamedTuple):
    """What the file contains: the records of each partition from `first` to before `end`.

    `whole`: the number of records that are no events of the contract and are written unchanged. `too_large`: how many
    of them `projector publish` will refuse.
    """

    records: int
    whole: int
    too_large: int
    first: Positions
    end: Positions


def export_log(log: Log, file: BinaryIO, report_progress: Callable[[int, int], None]) -> Exported:
    """Writes all records up to the current end of the log. `report_progress` gets the offsets read, and all offsets.

    Raises LogMissing, LogUnavailable, LogGap if retention was faster, LogCorrupt, OSError.
    """
    first, end = log.first(), log.end()
    records = whole = too_large = 0
    total = sum(end.values()) - sum(first.values())
    with closing(log.read(first)) as reader:
        while not _has_reached(reader, end):
            for record in _poll(reader, end):
                line = line_of(record)
                file.write(line + b"\n")
                if is_record(line):
                    whole += 1
                    too_large += is_too_large(record, line)
                records += 1
            report_progress(sum(reader.positions.values()) - sum(first.values()), total)
    return Exported(records, whole, too_large, first, end)


def output(file: Path, force: bool) -> AbstractContextManager[BinaryIO]:
    """Opens a file for writing; standard output for `-`."""
    return standard_output() if str(file) == "-" else atomic_file(file, force)


@contextmanager
def atomic_file(path: Path, force: bool) -> Iterator[BinaryIO]:
    """Writes a temporary file beside `path`, syncs it, and renames it at the end: `path` is never half written.

    Raises BadSetting if it cannot be written, or exists and `force` is off.
    """
    # Replaces the target of a symbolic link, not the link.
    place = path.resolve()
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        _check(path, force)
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check(path, force)
        part.replace(place)
        _sync_directory(place.parent)
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Raises BadSetting if it cannot be written. Only the exit code shows whether the output is complete."""
    try:
        # Not sys.stdout, which at exit would try again to write what it could not write.
        with open(os.dup(sys.stdout.fileno()), "wb") as file:
            yield file
            file.flush()
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fsync(file.fileno())
    except OSError as error:
        raise BadSetting(f"standard output: {error.strerror}") from error


def _check(path: Path, force: bool) -> None:
    if path.is_dir():
        raise BadSetting(f"{path}: expected a file, got a directory")
    if path.exists() and not (force and path.is_file()):
        raise BadSetting(f"{path}: exists already{'; --force replaces it' if path.is_file() else ''}")


def _sync_directory(directory: Path) -> None:
    """Makes a rename durable: else a power cut may undo it."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _poll(reader: Reader, end: Positions) -> Sequence[Record]:
    """Returns records; none only if `end` is reached. Raises LogUnavailable after STUCK_S."""
    deadline_s = time.monotonic() + STUCK_S
    while not (records := reader.poll(POLL_S, POLL_RECORDS, end)) and not _has_reached(reader, end):
        if time.monotonic() > deadline_s:
            stuck = min(Position(*at) for at in reader.positions.items() if at[1] < end[at[0]])
            raise LogUnavailable(
                f"no record after {stuck} for {STUCK_S:.0f} s, but the log ends at {end[stuck.partition]}: "
                "is a transaction open there?"
            )
    return records


def _has_reached(reader: Reader, end: Positions) -> bool:
    return all(offset >= end[partition] for partition, offset in reader.positions.items())
