"""Reads and tears Redis' append-only file on the disk."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple


class Command(NamedTuple):
    """`start`, `stop`: byte offsets in the file."""

    name: bytes
    start: int
    stop: int


def written_file(directory: Path) -> Path:
    """Returns the file that the server appends to."""
    return max(directory.glob("appendonlydir/*.incr.aof"), key=lambda file: int(file.suffixes[-3].removeprefix(".")))


def commands(file: Path, start: int = 0) -> Iterator[Command]:
    """Yields all complete commands. `start`: the offset of a command."""
    with file.open("rb") as opened:
        opened.seek(start)
        while line := opened.readline():
            name = b""
            for number in range(int(line[1:])):
                part = _bulk(opened)
                name = part if number == 0 else name
            yield Command(name.upper(), start, opened.tell())
            start = opened.tell()


def transactions(file: Path, start: int = 0) -> Iterator[Sequence[Command]]:
    """Yields the commands of each transaction, from MULTI to EXEC."""
    inside: list[Command] = []
    for command in commands(file, start):
        if command.name == b"MULTI" or inside:
            inside.append(command)
        if command.name == b"EXEC":
            yield inside
            inside = []


def tear(file: Path, start: int, share: float) -> None:
    """Truncates the file within a command of the longest transaction after `start`, as a power failure does. That share
    of the transaction's commands stays complete. The server must not run.
    """
    longest = max(transactions(file, start), key=len)
    command = longest[int(share * len(longest))]
    os.truncate(file, (command.start + command.stop) // 2)


def _bulk(opened: BinaryIO) -> bytes:
    length = int(opened.readline()[1:])
    return opened.read(length + 2)[:-2]
