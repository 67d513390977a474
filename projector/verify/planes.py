"""The bitmaps that a range of ordinals should have, made from the heads of its rows as one. Pure.

A slice is a column of bits in the heads. Python reads it without a loop: a stride selects a byte of each head, and a
translation turns its bit into the digit 0 or 1. These digits, read as one binary number, are the bitmap: the first of
them is the lowest ordinal, as in Redis.
"""

from collections.abc import Iterable, Iterator

from projector.readmodel.schema.columns import HEAD_BYTES, SLICES
from projector.readmodel.schema.keys import LISTED, NUMBERED, slice_name

# Where the columns end in a head.
_ENDS = {"created_at": 7, "updated_at": 14, "total": 25, "seller_count": 27, "display_id": 34}
_PLANES = [
    (slice_name(field, k), _ENDS[field] - 1 - k // 8, k % 8) for field, slices in SLICES.items() for k in range(slices)
]
_DIGITS = [bytes(48 + (byte >> bit & 1) for byte in range(256)) for bit in range(8)]


def own_bitmaps(heads: bytes, listed: bytes, numbered: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields name and bitmap of `bits:all`, `bits:has:display_id` and all slices.

    `heads`: for each ordinal, zeros if it is not listed. `listed`, `numbered`: a digit 0 or 1 for each ordinal.
    """
    yield LISTED, _bitmap(listed)
    yield NUMBERED, _bitmap(numbered)
    for name, place, bit in _PLANES:
        yield name, _bitmap(heads[place::HEAD_BYTES].translate(_DIGITS[bit]))


def bitmap_of(places: Iterable[int], length: int) -> bytes:
    """Returns a bitmap of `length` bits, a multiple of 8."""
    bitmap = bytearray(length // 8)
    for place in places:
        bitmap[place >> 3] |= 128 >> (place & 7)
    return bytes(bitmap)


def ones_of(bitmap: bytes) -> Iterator[int]:
    """Yields the places of the bits that are set."""
    for i, byte in enumerate(bitmap):
        if byte:
            yield from (8 * i + bit for bit in range(8) if byte >> (7 - bit) & 1)


def differing_places(one: bytes, other: bytes) -> Iterator[int]:
    """Yields the places of the bits that differ. Bitmaps of equal length."""
    both = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return ones_of(both.to_bytes(len(one), "big"))


def _bitmap(digits: bytes) -> bytes:
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


assert max(_ENDS.values()) == HEAD_BYTES
