"""The bits that a commit sets. Pure.

The commit checks the revision of each of its groups, so their bits are its own. The bits of groups with consecutive
ordinals are set together, by one integer: Redis takes about as long for these as for one bit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_, or_, xor
from struct import Struct

from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import SLICES
from projector.readmodel.schema.keys import LISTED, NUMBERED, slice_name

# Bits of consecutive ordinals: the first ordinal, how many, and an integer whose highest bit is the first's. Numbers of
# Lua are doubles, which hold 32 bits exactly.
BITS = Struct(">IBI")
RUN_MAX = 32

# Ordinal -> what the indexes hold of the group, before and after.
Moves = Mapping[int, tuple[Indexed | None, Indexed | None]]
# Bitmap, or the set of a value, without the shard's prefix -> BITS, one after the other.
Flips = Mapping[str, bytearray]

# Each column's bitmaps, by the number of the slice; then those of one bit.
_COLUMNS = tuple((tuple(slice_name(f, k) for k in range(n)), (1 << n) - 1) for f, n in SLICES.items())
_FLAGS = (((LISTED,), 1), ((NUMBERED,), 1))
_BITMAPS = (*_COLUMNS, *_FLAGS)
_UNLISTED = (0,) * len(_BITMAPS)


def flips(moves: Moves) -> Flips:
    """Returns the bits of all bitmaps but those of values, which may not exist."""
    found: defaultdict[str, bytearray] = defaultdict(bytearray)
    for run in runs(moves):
        if len(run) == 1:
            _flip(found, run[0], *moves[run[0]])
        else:
            _flip_run(found, run, moves)
    return found


def _flip(found: defaultdict[str, bytearray], ordinal: int, before: Indexed | None, after: Indexed | None) -> None:
    zero, one = BITS.pack(ordinal, 1, 0), BITS.pack(ordinal, 1, 1)
    for (names, mask), old, new in zip(_BITMAPS, _integers(before), _integers(after), strict=True):
        changed = (old ^ new) & mask
        while changed:
            bit = changed & -changed
            changed ^= bit
            found[names[bit.bit_length() - 1]] += one if new & bit else zero


def _flip_run(found: defaultdict[str, bytearray], run: Sequence[int], moves: Moves) -> None:
    befores = zip(*[_integers(moves[ordinal][0]) for ordinal in run], strict=True)
    afters = zip(*[_integers(moves[ordinal][1]) for ordinal in run], strict=True)
    for (names, mask), before, after in zip(_BITMAPS, befores, afters, strict=True):
        if changed := reduce(or_, map(xor, before, after)) & mask:
            for k, bits in transposed([value & mask for value in after], changed):
                found[names[k]] += BITS.pack(run[0], len(run), bits)


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


def _integers(indexed: Indexed | None) -> tuple[int, ...]:
    """Returns the value of each of _BITMAPS."""
    if indexed is None:
        return _UNLISTED
    *others, display_id = indexed.columns
    return (*others, display_id or 0, 1, display_id is not None)


def transposed(values: Sequence[int], wanted: int) -> Iterable[tuple[int, int]]:
    """Yields the number of each bit that is set in `wanted`, and an integer of that bit of all `values`, the first
    value's being the highest. `values` are not negative.
    """
    everywhere, somewhere, all_ones = reduce(and_, values), reduce(or_, values), (1 << len(values)) - 1
    # Most slices hold the same bit of all groups, as the high ones of times. Only the others are taken apart.
    varying = (somewhere ^ everywhere) & wanted
    columns: list[tuple[str, ...]] = []
    if varying:
        lowest, width = (varying & -varying).bit_length() - 1, varying.bit_length()
        columns = list(
            zip(
                *[format((value >> lowest) & ((1 << (width - lowest)) - 1), f"0{width - lowest}b") for value in values],
                strict=True,
            )
        )
        columns.reverse()
    while wanted:
        bit = wanted & -wanted
        k = bit.bit_length() - 1
        wanted ^= bit
        if bit & varying:
            yield k, int("".join(columns[k - lowest]), 2)
        else:
            yield k, all_ones if bit & everywhere else 0
