"""The bits that a commit sets. Pure.

The commit checks the revision of each of its groups, so their bits are its own. The bits of groups with consecutive
ordinals are set together, by one integer: Redis takes about as long for these as for one bit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_, xor
from struct import Struct

from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import HEAD_WIDTHS, SLICES, head
from projector.readmodel.schema.keys import LISTED, NUMBERED, slice_name

# Bits of consecutive ordinals: the first ordinal, how many, and an integer whose highest bit is the first's. Numbers of
# Lua are doubles, which hold 32 bits exactly.
BITS = Struct(">IBI")
RUN_MAX = 32

# Ordinal -> what the indexes hold of the group, before and after.
Moves = Mapping[int, tuple[Indexed | None, Indexed | None]]
# Bitmap, or the set of a value, without the shard's prefix -> BITS, one after the other.
Flips = Mapping[str, bytearray]

# The bitmap of each bit of `_bits`, the highest first; empty where a bit is none's.
_NAMES = (
    *(
        slice_name(field, k) if k < SLICES[field] else ""
        for field, width in HEAD_WIDTHS.items()
        for k in reversed(range(8 * width))
    ),
    *("",) * 6,
    *(LISTED, NUMBERED),
)
_WIDTH = len(_NAMES)
_MASK = int("".join("1" if name else "0" for name in _NAMES), 2)


def flips(moves: Moves) -> Flips:
    """Returns the bits of all bitmaps but those of values, which may not exist."""
    found: defaultdict[str, bytearray] = defaultdict(bytearray)
    for run in runs(moves):
        first, count = run[0], len(run)
        befores = [_bits(moves[ordinal][0]) for ordinal in run]
        afters = [_bits(moves[ordinal][1]) for ordinal in run]
        changed = reduce(or_, map(xor, map(_integer, befores), map(_integer, afters))) & _MASK
        # All bits of all groups: every _WIDTH-th digit is of the same bitmap.
        digits = f"{_integer(b''.join(afters)):0{_WIDTH * count}b}"
        # Most groups that are updated are on their own: to pack each of their bits anew takes half as long again.
        of_one = {"0": BITS.pack(first, 1, 0), "1": BITS.pack(first, 1, 1)}
        while changed:
            place = _WIDTH - changed.bit_length()
            changed ^= 1 << (_WIDTH - 1 - place)
            found[_NAMES[place]] += (
                of_one[digits[place]] if count == 1 else BITS.pack(first, count, int(digits[place::_WIDTH], 2))
            )
    return found


def _bits(indexed: Indexed | None) -> bytes:
    """Returns all columns, and whether the group is listed, and has a display_id."""
    if indexed is None:
        return bytes(_WIDTH // 8)
    return head(indexed.columns) + (b"\2" if indexed.columns.display_id is None else b"\3")


def _integer(bits: bytes) -> int:
    return int.from_bytes(bits, "big")


def value_flips(moves: Moves) -> Flips:
    """Returns the bits of the groups that join or leave the set of a value."""
    found: defaultdict[str, bytearray] = defaultdict(bytearray)
    for ordinal, (before, after) in moves.items():
        # Not tuples: a group may have a thousand sellers.
        olds = dict.fromkeys(before.values) if before else {}
        news = dict.fromkeys(after.values) if after else {}
        for name in olds:
            if name not in news:
                found[name] += BITS.pack(ordinal, 1, 0)
        for name in news:
            if name not in olds:
                found[name] += BITS.pack(ordinal, 1, 1)
    return found


def runs(ordinals: Iterable[int]) -> list[list[int]]:
    """Returns the ordinals in runs of consecutive ones, each of at most RUN_MAX."""
    found: list[list[int]] = []
    for ordinal in sorted(ordinals):
        if found and found[-1][-1] + 1 == ordinal and len(found[-1]) < RUN_MAX:
            found[-1].append(ordinal)
        else:
            found.append([ordinal])
    return found
