"""Reads the arguments of a commit, as the key table of commit.lua describes them."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

Argument = str | bytes | int | float
Bits = tuple[int, int, int]


class Request(NamedTuple):
    """`positions`: name, from (-1: nothing was applied before), to. `groups`: id, member, revision (empty: a new one).

    `commands`: name, key, arguments. `bits`, `values`: name of the bitmap, or of the sorted set that has one; first
    ordinal, how many, and an integer of their bits, in turn. `texts`: chunk, place and line in turn.
    """

    positions: list[tuple[str, int, int]]
    tally: dict[str, int]
    unparked: list[str]
    is_redriven: bool
    content: str
    ordinals_end: int
    groups: list[tuple[bytes, bytes, bytes]]
    changed: bytes
    commands: list[tuple[str, str, list[bytes]]]
    bits: list[tuple[str, list[Bits]]]
    values: list[tuple[str, list[Bits]]]
    texts: list[tuple[int, list[bytes]]]


def parsed(arguments: Sequence[bytes]) -> Request:
    """Raises an error for arguments that commit.lua does not expect."""
    head: Any = msgspec.msgpack.decode(arguments[0])
    _, positions, counts, tally, unparked, is_redriven, content, ordinals_end = head
    sections, first = [], 1
    for count in counts:
        sections.append(arguments[first : first + count])
        first += count
    assert first == len(arguments)
    groups, changed, commands, bits, values, texts = sections
    return Request(
        [(name, -1 if start is False else start, stop) for name, start, stop in by(3, positions)],
        tally,
        unparked,
        is_redriven,
        content,
        ordinals_end,
        [(group_id, member, revision) for group_id, member, revision in by(3, groups)],
        b"".join(changed),
        [(name.decode(), key.decode(), rest) for (name, key), rest in _counted(2, commands)],
        [(name.decode(), list(struct.iter_unpack(">IBI", packed))) for name, packed in by(2, bits)],
        [(name.decode(), list(struct.iter_unpack(">IBI", packed))) for name, packed in by(2, values)],
        [(int(chunk), rest) for (chunk,), rest in _counted(1, texts)],
    )


def encoded(arguments: Sequence[Argument]) -> list[bytes]:
    """Returns the bytes that a client sends."""
    return [one if isinstance(one, bytes) else str(one).encode() for one in arguments]


def by(size: int, items: Sequence[Any]) -> Iterator[Any]:
    assert len(items) % size == 0
    return (items[i : i + size] for i in range(0, len(items), size))


def _counted(names: int, section: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], list[bytes]]]:
    """Yields `names` arguments, and the arguments after them, whose number comes between."""
    at = 0
    while at < len(section):
        first = at + names + 1
        stop = first + int(section[first - 1])
        assert stop <= len(section)
        yield section[at : first - 1], list(section[first:stop])
        at = stop
