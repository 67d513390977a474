"""Everything that a generation holds of one group at one time, and its digest. Pure."""

from collections.abc import Collection
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from projector.fold.view import Entries, document
from projector.fold.view import view as view_of
from projector.project import Known
from projector.readmodel.schema.keys import SORT_FIELDS, VALUE_FIELDS

# The hashes with a field for each group, and the sorted sets with a member for each listed group.
PARTS = ("row", "rest", "text", "state")
BY = frozenset(f"by:{field}" for field in SORT_FIELDS)
# The sorted sets of one value each are reported as one.
OF = tuple(f"of:{field}" for field in VALUE_FIELDS)
# What is counted; of `text` only its lines are.
KINDS = ("row", "rest", "state", *(f"by:{field}" for field in SORT_FIELDS), *OF, "parked")

# In place of a number of groups: the group has no ordinal; it has one that no bitmap can have.
NO_ORDINAL, BAD_ORDINAL = 0, -1


class GroupSnapshot(Struct, frozen=True, gc=False):
    """A part that is None and an index that is not among `entries` do not hold the group.

    `bits`, only of bitmaps that were read and exist: by name, the group's bit in `bits:all` and `bits:of:*`; for
    `bits:by:<field>` the bucket that its slices spell; for `bits:by:id` the number of its wrong bits; for `ordinal` the
    number of groups that have the group's ordinal, or NO_ORDINAL, or BAD_ORDINAL.
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


EMPTY = GroupSnapshot()


class Digest(Struct, frozen=True, array_like=True, gc=False):
    """Of documents, and of index entries: sums, modulo 2^64, of 8 bytes of BLAKE2b for each group that has any.

    A sum depends neither on the order of the groups nor on their shards.
    """

    documents: int = 0
    entries: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest((self.documents + other.documents) % 2**64, (self.entries + other.entries) % 2**64)

    def __sub__(self, other: "Digest") -> "Digest":
        return Digest((self.documents - other.documents) % 2**64, (self.entries - other.entries) % 2**64)


class _IndexedValues(Struct):
    """The fields of a document that name its sets. Lenient: the document may be of another version."""

    customer_id: Any = None
    seller_ids: Any = None
    statuses: Any = None
    sales_channel_ids: Any = None


_pack = msgspec.msgpack.Encoder().encode
_indexed_values = msgspec.json.Decoder(_IndexedValues)


def expected_snapshot(group_id: str, known: Known, state: bytes | None) -> GroupSnapshot:
    """Returns what the fold makes of a group, without bits."""
    view = view_of(group_id, known.group)
    row, rest = document(view) if view else (None, None)
    return GroupSnapshot(row, rest, known.text, state, known.entries)


def digest(group_id: str, snapshot: GroupSnapshot) -> Digest:
    documents = entries = 0
    parts = (snapshot.row, snapshot.rest, snapshot.text, snapshot.state)
    if any(part is not None for part in parts):
        documents = _hash((group_id, *parts))
    if snapshot.entries:
        entries = _hash((group_id, sorted((name, float(score)) for name, score in snapshot.entries.items())))
    return Digest(documents, entries)


def _hash(content: object) -> int:
    return int.from_bytes(blake2b(_pack(content), digest_size=8).digest(), "big")


def kind(name: str) -> str:
    """`of:status:pending` -> `of:status`; other names unchanged."""
    return ":".join(name.split(":")[:2]) if name.startswith("of:") else name


def indexes_of_document(snapshot: GroupSnapshot) -> Collection[str]:
    """Returns the indexes that should hold the group according to its document; none without a document."""
    if snapshot.row is None and snapshot.rest is None:
        return ()
    try:
        found = _indexed_values.decode((snapshot.row or b"")[:-1] + (snapshot.rest or b""))
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
