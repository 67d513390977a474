"""Redis' append-only file, read as it lies on the disk."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple


class Command(NamedTuple):
    """`start`, `stop`: its place in the file, in bytes."""

    name: bytes
    start: int
    stop: int


def written_file(directory: Path) -> Path:
    """The file that a server appends to."""
    return max(directory.glob("appendonlydir/*.incr.aof"), key=lambda file: int(file.suffixes[-3].removeprefix(".")))


def commands(file: Path, start: int = 0) -> Iterator[Command]:
    """All that are whole, from a place where one begins."""
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
    """From each MULTI to its EXEC."""
    inside: list[Command] = []
    for command in commands(file, start):
        if command.name == b"MULTI" or inside:
            inside.append(command)
        if command.name == b"EXEC":
            yield inside
            inside = []


def tear(file: Path, start: int, share: float) -> None:
    """As a power cut leaves it: it ends within a command, in the longest transaction behind `start`, of whose commands
    that share is whole. The server must not run.
    """
    longest = max(transactions(file, start), key=len)
    command = longest[int(share * len(longest))]
    os.truncate(file, (command.start + command.stop) // 2)


def _bulk(opened: BinaryIO) -> bytes:
    length = int(opened.readline()[1:])
    return opened.read(length + 2)[:-2]
