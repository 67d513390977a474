"""What a shard holds of one group at one time, what its record says that it should hold, and digests. Pure."""

from collections import Counter
from hashlib import blake2b

import msgspec
from msgspec import Struct

from projector.readmodel.record.document import row
from projector.readmodel.record.state import REVISION_BYTES, revision_of, unpack
from projector.readmodel.record.view import Indexed, indexed, view
from projector.readmodel.schema.columns import columns_of, head
from projector.readmodel.schema.keys import CREATED, LISTED, NUMBERED, VALUE_FIELDS

PARTS = ("record", "row", "text")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[tuple[str, ...], bytes]).decode
# The sorted sets of one value each are counted as one.
KINDS = ("record", "row", CREATED, *(f"of:{field}" for field in VALUE_FIELDS), "parked")


class Snapshot(Struct, frozen=True, gc=False):
    """`text`: empty if the group has no line. `scores`: sorted set -> score. `indexed`: only of what is expected.

    `bits`, by name: the group's bit in `bits:all`, `bits:has:display_id` and `bits:of:*`, the last ones only where they
    were read and exist; for `bits:by:<field>` the integer that the group's bits in its slices spell.
    """

    record: bytes | None = None
    row: bytes | None = None
    text: bytes = b""
    scores: dict[str, float] = {}
    bits: dict[str, int] = {}
    indexed: Indexed | None = None

    @property
    def names(self) -> list[str]:
        """The hashes and sorted sets that have the group, of what is expected."""
        parts = [part for part in ("record", "row") if getattr(self, part) is not None]
        return [*parts, *scores_of(self.indexed)]


EMPTY = Snapshot()


def expected_snapshot(group_id: str, record: bytes) -> Snapshot:
    """Returns what a shard should hold of the group of that record; EMPTY for a damaged one, so that all differs."""
    if blake2b(record[REVISION_BYTES:], digest_size=REVISION_BYTES).digest() != revision_of(record):
        return EMPTY
    try:
        seen = view(group_id, unpack(record))
    except (msgspec.DecodeError, IndexError, TypeError):
        return EMPTY
    if seen is None:
        return Snapshot(record)
    held = indexed(seen)
    return Snapshot(record, row(seen, held.columns), held.text, {}, {}, held)


def packed(held: Indexed | None) -> bytes:
    """Returns what a row does not have of it; `unpacked` reverses it."""
    return _pack((held.values, held.text)) if held else b""


def unpacked(record: bytes, row: bytes | None, held: bytes) -> Snapshot:
    if row is None:
        return Snapshot(record)
    values, text = _unpack(held)
    return Snapshot(record, row, text, {}, {}, Indexed(columns_of(row), values, text))


def scores_of(held: Indexed | None) -> dict[str, float]:
    """Returns sorted set -> score."""
    return dict.fromkeys((CREATED, *held.values), float(held.columns.created_at)) if held else {}


def bits_of(held: Indexed | None) -> dict[str, int]:
    """Returns bitmap -> bits, as Snapshot has them. Where a name is missing, all are 0."""
    if held is None:
        return {}
    bits = {f"bits:by:{field}": value or 0 for field, value in held.columns._asdict().items()}
    bits |= {LISTED: 1, NUMBERED: int(held.columns.display_id is not None)}
    return bits | {f"bits:{name}": 1 for name in held.values}


class Totals:
    """What is expected in all: members by kind (`of:status` for all statuses), and digests.

    A digest is a sum, modulo 2^64, of 8 bytes of BLAKE2b for each group. So it depends neither on the order of the
    groups nor on their shards. `documents`: of ids and revisions. `entries`: of what the indexes hold.
    """

    def __init__(self) -> None:
        self.members: Counter[str] = Counter()
        self.documents = self.entries = 0

    def add(self, group_id: str, group: Snapshot) -> None:
        if group.record is not None:
            self.add_record(group_id, revision_of(group.record))
            self.add_indexed(group_id, group.indexed)

    def add_record(self, group_id: str, revision: bytes, sign: int = 1) -> None:
        """Adds a record; subtracts it with a `sign` of -1."""
        self.members["record"] += sign
        self.documents = (self.documents + sign * hashed((group_id, revision))) % 2**64

    def add_indexed(self, group_id: str, held: Indexed | None, sign: int = 1) -> None:
        if held is not None:
            self.members["row"] += sign
            self.members[CREATED] += sign
            for name in held.values:
                self.members[kind(name)] += sign
            self.entries = (self.entries + sign * hashed((group_id, head(held.columns), held.values))) % 2**64


def hashed(content: object) -> int:
    return int.from_bytes(blake2b(_pack(content), digest_size=8).digest(), "big")


def kind(name: str) -> str:
    """`of:status:pending` -> `of:status`; other names unchanged."""
    return ":".join(name.split(":")[:2]) if name.startswith("of:") else name
