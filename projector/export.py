"""Writing the retained log to a file of JSON lines, from which `projector publish` makes a log with the same fold."""

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

# How many records are read at once.
POLL_RECORDS = 2_000
# How long one poll waits for records, in seconds.
POLL_S = 1.0
# How long the log may give us nothing that lies before its end, in seconds. A transaction that nobody completes ends
# after a minute, as Kafka's producers have it.
STUCK_S = 90.0

Positions = dict[Partition, int]


class Exported(NamedTuple):
    """What is in the file: the records of each partition from `first` to before `end`.

    `whole`: how many are kept as they were, for they are not events of the contract. `too_large`: how many of those
    `projector publish` will refuse.
    """

    records: int
    whole: int
    too_large: int
    first: Positions
    end: Positions


def export_log(log: Log, file: BinaryIO, tell: Callable[[int, int], None]) -> Exported:
    """Up to where the log ends now, in the order of each partition. `tell` gets the offsets passed, and those in all.

    Raises LogMissing, LogUnavailable, LogGap where retention was faster, LogCorrupt, OSError.
    """
    first, end = log.first(), log.end()
    records = whole = too_large = 0
    total = sum(end.values()) - sum(first.values())
    with closing(log.read(first)) as reader:
        while not _has_reached(reader, end):
            for record in _next(reader, end):
                line = line_of(record)
                file.write(line + b"\n")
                if is_record(line):
                    whole += 1
                    too_large += is_too_large(record, line)
                records += 1
            tell(sum(reader.positions.values()) - sum(first.values()), total)
    return Exported(records, whole, too_large, first, end)


def output(file: Path, force: bool) -> AbstractContextManager[BinaryIO]:
    """Standard output for `-`."""
    return standard_output() if str(file) == "-" else whole_file(file, force)


@contextmanager
def whole_file(path: Path, force: bool) -> Iterator[BinaryIO]:
    """A file that is there as a whole, on disk, or not at all: written beside its place, and moved there at the end.

    Raises BadSetting where it cannot be written, or is there already, unless `force`.
    """
    # Through a symbolic link, to what it names.
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
    """Raises BadSetting where it takes no more. Only the exit code tells whether what came out is all."""
    try:
        # Apart from sys.stdout, which would try again to write at the end what could not be written.
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
        raise BadSetting(f"{path}: there is one already{'; --force replaces it' if path.is_file() else ''}")


def _sync_directory(directory: Path) -> None:
    """Else a power cut may take the new name again."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _next(reader: Reader, end: Positions) -> Sequence[Record]:
    """At least one record, unless what was left was none. Raises LogUnavailable after STUCK_S."""
    deadline_s = time.monotonic() + STUCK_S
    while not (records := reader.poll(POLL_S, POLL_RECORDS, end)) and not _has_reached(reader, end):
        if time.monotonic() > deadline_s:
            stuck = min(Position(*at) for at in reader.positions.items() if at[1] < end[at[0]])
            raise LogUnavailable(
                f"nothing came after {stuck} in {STUCK_S:.0f} s, but the log goes on to {end[stuck.partition]}: "
                "is a transaction open there?"
            )
    return records


def _has_reached(reader: Reader, end: Positions) -> bool:
    return all(offset >= end[partition] for partition, offset in reader.positions.items())
