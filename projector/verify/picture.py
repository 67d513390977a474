"""What a generation holds of one group, and how two such pictures differ. Pure."""

from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from projector.fold.view import Entries, document
from projector.fold.view import view as view_of
from projector.project import Known
from projector.readmodel.schema.keys import SORT_FIELDS, VALUE_FIELDS
from projector.verify.buckets import bits_of, is_bitmap

# The hashes with a field for each group, and the sorted sets with a member for each listed one.
PARTS = ("row", "rest", "text", "state")
BY = frozenset(f"by:{field}" for field in SORT_FIELDS)
# The sorted sets of one value each are told of as one.
OF = tuple(f"of:{field}" for field in VALUE_FIELDS)
# What is counted; of `text` nothing is, but for its lines.
KINDS = ("row", "rest", "state", *(f"by:{field}" for field in SORT_FIELDS), *OF, "parked")

# In place of a number of groups: there is no ordinal; there is one that no bitmap can have.
NO_ORDINAL, BAD_ORDINAL = 0, -1

# How much of a value is shown to either side of where it differs.
CONTEXT = 24
ABSENT = "nothing"


class Picture(Struct, frozen=True, gc=False):
    """All of one group at one instant; None, or not among `entries`, is what is not there.

    `bits`: what is found of it in `bits:all` and in `bits:of:*`, by name, for `bits:by:<field>` the bucket that its
    slices spell, and for `bits:by:id` how many of them are wrong; `ordinal`: how many groups have that of this one, or
    NO_ORDINAL, or BAD_ORDINAL. Only what was looked at, and is there to look at.
    """

    row: bytes | None = None
    rest: bytes | None = None
    text: bytes | None = None
    state: bytes | None = None
    entries: Entries = {}
    bits: dict[str, int] = {}

    @property
    def names(self) -> set[str]:
        """The hashes and sorted sets that have the group."""
        return {part for part in PARTS if getattr(self, part) is not None} | self.entries.keys()


EMPTY = Picture()


class Difference(Struct, frozen=True):
    """`what`: row, rest, text, state, parked, an index as `of:status:pending`, `ordinal`, or a bitmap: `bits:all`,
    `bits:of:status:pending`, and `bits:by:total` for all slices of a field; `group` is empty where the whole of it is
    meant. `at`: the first place that differs, as a JSON path or a number of bytes; empty where one side has nothing.
    `expected`, `found`: the value at that place, readable.
    """

    generation: int
    shard: int
    group: str
    what: str
    at: str
    expected: str
    found: str


class Digest(Struct, frozen=True, array_like=True, gc=False):
    """Of documents, and of index entries: sums, modulo 2^64, of 8 bytes of BLAKE2b for each group that has any.

    So they depend neither on the order in which the groups are met nor on their shards.
    """

    documents: int = 0
    entries: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest((self.documents + other.documents) % 2**64, (self.entries + other.entries) % 2**64)

    def __sub__(self, other: "Digest") -> "Digest":
        return Digest((self.documents - other.documents) % 2**64, (self.entries - other.entries) % 2**64)


class _Values(Struct):
    """What a document says of the sets it is in. Lenient: it may be one of another version."""

    customer_id: Any = None
    seller_ids: Any = None
    statuses: Any = None
    sales_channel_ids: Any = None


_pack = msgspec.msgpack.Encoder().encode
_values = msgspec.json.Decoder(_Values)


def picture_of(group_id: str, known: Known, state: bytes | None) -> Picture:
    """What the fold makes of a group."""
    view = view_of(group_id, known.group)
    row, rest = document(view) if view else (None, None)
    return Picture(row, rest, known.text, state, known.entries)


def digest(group_id: str, picture: Picture) -> Digest:
    documents = entries = 0
    if any(part is not None for part in (picture.row, picture.rest, picture.text, picture.state)):
        documents = _hash((group_id, picture.row, picture.rest, picture.text, picture.state))
    if picture.entries:
        entries = _hash((group_id, sorted((name, float(score)) for name, score in picture.entries.items())))
    return Digest(documents, entries)


def _hash(content: object) -> int:
    return int.from_bytes(blake2b(_pack(content), digest_size=8).digest(), "big")


def kind(name: str) -> str:
    """`of:status:pending` -> `of:status`; others as they are."""
    return ":".join(name.split(":")[:2]) if name.startswith("of:") else name


def named(picture: Picture) -> Collection[str]:
    """The indexes that ought to have the group, read off its document: none without one."""
    if picture.row is None and picture.rest is None:
        return ()
    try:
        found = _values.decode((picture.row or b"")[:-1] + (picture.rest or b""))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return BY
    values = ([found.customer_id], found.seller_ids, found.statuses, found.sales_channel_ids)
    return BY.union(
        f"{of}:{value}"
        for of, members in zip(OF, values, strict=True)
        if isinstance(members, list)
        for value in members
        if isinstance(value, str) and value
    )


def agree(expected: Picture, found: Picture) -> bool:
    """Whether `differing` names nothing."""
    return (
        all(getattr(expected, part) == getattr(found, part) for part in PARTS)
        and expected.entries == found.entries
        and not any(_differing_bits(expected, found))
    )


def differing(expected: Picture, found: Picture) -> Iterator[str]:
    """The parts, indexes and bitmaps in which they differ; what bits there ought to be depends on entries alone."""
    for part in PARTS:
        if getattr(expected, part) != getattr(found, part):
            yield part
    for name in sorted(expected.entries.keys() | found.entries.keys()):
        if expected.entries.get(name) != found.entries.get(name):
            yield name
    yield from _differing_bits(expected, found)


def _differing_bits(expected: Picture, found: Picture) -> Iterator[str]:
    if not found.bits:
        return
    ought = bits_of(expected.entries)
    for name, bits in found.bits.items():
        if name == "ordinal":
            # Whoever was listed once keeps it.
            if bits != 1 and (bits != NO_ORDINAL or "bits:all" in ought):
                yield name
        elif bits != ought.get(name, 0):
            yield name


def difference(generation: int, shard: int, group_id: str, what: str, expected: Picture, found: Picture) -> Difference:
    """`what` is one of those that `differing` names."""
    if what in PARTS:
        at, one, other = told(what, getattr(expected, what), getattr(found, what))
    elif what == "ordinal":
        at, one, other = "", "one of its own", _ordinal_text(found.bits[what])
    elif what == "bits:by:id":
        at, one, other = "", "the bits of its id", f"{found.bits[what]} of them off"
    elif is_bitmap(what):
        unit = "bucket" if what.startswith("bits:by:") else "bit"
        at, one, other = "", f"{unit} {bits_of(expected.entries).get(what, 0)}", f"{unit} {found.bits[what]}"
    else:
        at, one, other = "", score_text(expected.entries.get(what)), score_text(found.entries.get(what))
    return Difference(generation, shard, group_id, what, at, one, other)


def score_text(score: float | None) -> str:
    return ABSENT if score is None else f"score {float(score):.17g}"


def _ordinal_text(groups: int) -> str:
    texts = {NO_ORDINAL: "none", BAD_ORDINAL: "one that no group can have"}
    return texts.get(groups, f"one of {groups} groups")


def told(part: str, expected: bytes | None, found: bytes | None) -> tuple[str, str, str]:
    """Where two values begin to differ, and what each has there."""
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
            place = _first_place("$", one, other)
            if place:
                return place
    at = next((i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        at = min(len(expected), len(found))
    return f"byte {at}", _around(expected, at), _around(found, at)


def _first_place(path: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    """None where the JSON is the same, and only its bytes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs: Iterable[tuple[str, Any, Any]] = (
            (f"{path}.{name}", one.get(name, _Nothing), other.get(name, _Nothing)) for name in one | other
        )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((f"{path}[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True)))
    else:
        return None if one == other and type(one) is type(other) else (path, _json(one), _json(other))
    return next((place for pair in pairs if (place := _first_place(*pair))), None)


class _Nothing:
    """Stands for what is not there; JSON has null."""


def _json(value: Any) -> str:
    return ABSENT if value is _Nothing else _cut(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= 4 * CONTEXT else text[: 4 * CONTEXT] + "…"


def _short(value: bytes | None) -> str:
    return ABSENT if value is None else _cut(repr(value)[1:])


def _around(value: bytes, at: int) -> str:
    start, stop = max(at - CONTEXT, 0), at + CONTEXT
    return f"{'…' if start else ''}{repr(value[start:stop])[1:]}{'…' if stop < len(value) else ''}"
