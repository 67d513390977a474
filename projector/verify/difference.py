"""Where a snapshot of a group differs from what is expected, and how that is reported. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from projector.readmodel.schema.columns import HEAD_BYTES, columns_of, row_json
from projector.verify.snapshot import PARTS, Snapshot, bits_of, scores_of

# How much of a value is shown on either side of the first byte that differs.
CONTEXT = 24
ABSENT = "nothing"


class Difference(Struct, frozen=True):
    """`what`: record, row, text, parked, ordinal, ordinals, a sorted set such as `of:status:pending`, or a bitmap:
    `bits:all`, `bits:of:status:pending`, and `bits:by:total` for all slices of a field; or `values:status`, whose
    number of groups of the value `at` is wrong.
    `group`: empty if no group has it. `at`: the first place that differs: a JSON path, a column of the head, a byte
    offset, or the ordinal that no group has; empty where a value is absent.
    `expected`, `found`: the values at that place, readable.
    """

    generation: int
    shard: int
    group: str
    what: str
    at: str
    expected: str
    found: str


def differing(expected: Snapshot, found: Snapshot) -> Iterator[str]:
    """Yields the parts, sorted sets and bitmaps that differ."""
    for part in PARTS:
        if getattr(expected, part) != getattr(found, part):
            yield part
    scores, bits = scores_of(expected.indexed), bits_of(expected.indexed)
    if scores != found.scores:
        yield from (name for name in sorted(scores | found.scores) if scores.get(name) != found.scores.get(name))
    yield from (name for name, value in found.bits.items() if value != bits.get(name, 0))


def describe(what: str, expected: Snapshot, found: Snapshot) -> tuple[str, str, str]:
    """Returns `at`, `expected` and `found` of one that `differing` yields."""
    if what in PARTS:
        one, other = getattr(expected, what), getattr(found, what)
        # A group without a line has an empty one.
        return first_difference(what, *((one, other) if what != "text" else (one or None, other or None)))
    if what.startswith("bits:"):
        return "", str(bits_of(expected.indexed).get(what, 0)), str(found.bits[what])
    return "", score_text(scores_of(expected.indexed).get(what)), score_text(found.scores.get(what))


def score_text(score: float | None) -> str:
    return ABSENT if score is None else f"score {float(score):.17g}"


def first_difference(part: str, expected: bytes | None, found: bytes | None) -> tuple[str, str, str]:
    """Returns the first place where two values differ, and what each has there. `part`: one of PARTS."""
    if expected is None or found is None:
        return "", _short(expected), _short(found)
    if part == "row":
        if expected[:HEAD_BYTES] != found[:HEAD_BYTES] and len(found) >= HEAD_BYTES:
            pairs = zip(columns_of(expected)._asdict().items(), columns_of(found), strict=True)
            return next((f"head.{name}", str(one), str(other)) for (name, one), other in pairs if one != other)
        try:
            place = _difference_of_json("$", *(msgspec.json.decode(row_json(row)) for row in (expected, found)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            place = None
        if place:
            return place
    at = next((i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        at = min(len(expected), len(found))
    return f"byte {at}", _around(expected, at), _around(found, at)


def _difference_of_json(path: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    """Returns None where the JSON is the same, and only its bytes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs: Iterable[tuple[str, Any, Any]] = (
            (f"{path}.{name}", one.get(name, _Missing), other.get(name, _Missing)) for name in one | other
        )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((f"{path}[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True)))
    else:
        return None if one == other and type(one) is type(other) else (path, _json(one), _json(other))
    return next((place for pair in pairs if (place := _difference_of_json(*pair))), None)


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
