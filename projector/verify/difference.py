"""Where two snapshots of a group differ, and how that is reported. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from projector.verify.buckets import bits_of, is_bitmap
from projector.verify.snapshot import BAD_ORDINAL, NO_ORDINAL, PARTS, GroupSnapshot

# How much of a value is shown on either side of the first byte that differs.
CONTEXT = 24
ABSENT = "nothing"


class Difference(Struct, frozen=True):
    """`what`: row, rest, text, state, parked, an index such as `of:status:pending`, `ordinal`, or a bitmap: `bits:all`,
    `bits:of:status:pending`, and `bits:by:total` for all slices of a field. `group`: empty if all of `what` is meant.
    `at`: the first place that differs, as a JSON path or a byte offset; empty where a value is absent.
    `expected`, `found`: the values at that place, readable.
    """

    generation: int
    shard: int
    group: str
    what: str
    at: str
    expected: str
    found: str


def agree(expected: GroupSnapshot, found: GroupSnapshot) -> bool:
    """Returns whether `differing` yields nothing."""
    return (
        all(getattr(expected, part) == getattr(found, part) for part in PARTS)
        and expected.entries == found.entries
        and not any(_differing_bits(expected, found))
    )


def differing(expected: GroupSnapshot, found: GroupSnapshot) -> Iterator[str]:
    """Yields the parts, indexes and bitmaps that differ. The expected bits follow from the expected entries."""
    for part in PARTS:
        if getattr(expected, part) != getattr(found, part):
            yield part
    for name in sorted(expected.entries.keys() | found.entries.keys()):
        if expected.entries.get(name) != found.entries.get(name):
            yield name
    yield from _differing_bits(expected, found)


def _differing_bits(expected: GroupSnapshot, found: GroupSnapshot) -> Iterator[str]:
    if not found.bits:
        return
    expected_bits = bits_of(expected.entries)
    for name, bits in found.bits.items():
        if name == "ordinal":
            # A group that was listed once keeps its ordinal.
            if bits != 1 and (bits != NO_ORDINAL or "bits:all" in expected_bits):
                yield name
        elif bits != expected_bits.get(name, 0):
            yield name


def describe(
    generation: int, shard: int, group_id: str, what: str, expected: GroupSnapshot, found: GroupSnapshot
) -> Difference:
    """`what` is one of those that `differing` yields."""
    at = ""
    if what in PARTS:
        at, one, other = first_difference(what, getattr(expected, what), getattr(found, what))
    elif what == "ordinal":
        one, other = "an ordinal of its own", _ordinal_text(found.bits[what])
    elif what == "bits:by:id":
        one, other = "the bits of its id", f"{found.bits[what]} of them wrong"
    elif is_bitmap(what):
        unit = "bucket" if what.startswith("bits:by:") else "bit"
        one, other = f"{unit} {bits_of(expected.entries).get(what, 0)}", f"{unit} {found.bits[what]}"
    else:
        one, other = _score_text(expected.entries.get(what)), _score_text(found.entries.get(what))
    return Difference(generation, shard, group_id, what, at, one, other)


def _score_text(score: float | None) -> str:
    return ABSENT if score is None else f"score {float(score):.17g}"


def _ordinal_text(groups: int) -> str:
    texts = {NO_ORDINAL: "no ordinal", BAD_ORDINAL: "an ordinal out of range"}
    return texts.get(groups, f"an ordinal that {groups} groups have")


def first_difference(part: str, expected: bytes | None, found: bytes | None) -> tuple[str, str, str]:
    """Returns the first place where two values differ, and what each has there."""
    if expected is None or found is None:
        return "", _short(expected), _short(found)
    if part in ("row", "rest"):
        try:
            one, other = (
                msgspec.json.decode(value if part == "row" else b"{" + value[1:]) for value in (expected, found)
            )
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            place = _first_difference_of_json("$", one, other)
            if place:
                return place
    at = next((i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        at = min(len(expected), len(found))
    return f"byte {at}", _around(expected, at), _around(found, at)


def _first_difference_of_json(path: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    """Returns None where the JSON is the same, and only its bytes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs: Iterable[tuple[str, Any, Any]] = (
            (f"{path}.{name}", one.get(name, _Missing), other.get(name, _Missing)) for name in one | other
        )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((f"{path}[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True)))
    else:
        return None if one == other and type(one) is type(other) else (path, _json(one), _json(other))
    return next((place for pair in pairs if (place := _first_difference_of_json(*pair))), None)


class _Missing:
    """Stands for a missing field; None is JSON's null."""


def _json(value: Any) -> str:
    return ABSENT if value is _Missing else _cut(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= 4 * CONTEXT else text[: 4 * CONTEXT] + "…"


def _short(value: bytes | None) -> str:
    return ABSENT if value is None else _cut(repr(value)[1:])


def _around(value: bytes, at: int) -> str:
    start, stop = max(at - CONTEXT, 0), at + CONTEXT
    return f"{'…' if start else ''}{repr(value[start:stop])[1:]}{'…' if stop < len(value) else ''}"
