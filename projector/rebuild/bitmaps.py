"""The bits of many new groups: whole bytes of each bitmap. Pure."""

from collections.abc import Iterator, Sequence

from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import SLICES
from projector.readmodel.schema.keys import LISTED, NUMBERED, slice_name

# Maps a byte to the digit 0 or 1, by the number of the bit.
_DIGITS = [bytes([b"01"[byte >> bit & 1] for byte in range(256)]) for bit in range(8)]


def bitmaps(groups: Sequence[Indexed | None]) -> Iterator[tuple[str, bytes]]:
    """Yields bitmap -> bytes, those that are not all zero. The first group, None if unlisted, is the highest bit of the
    first byte. The number of groups is a multiple of 8.
    """
    columns = [group.columns if group else None for group in groups]
    yield from ((LISTED, bits) for _, bits in slices([one is not None for one in columns], 1))
    numbers = [one.display_id if one else None for one in columns]
    yield from ((NUMBERED, bits) for _, bits in slices([number is not None for number in numbers], 1))
    for i, (field, count) in enumerate(SLICES.items()):
        for k, bits in slices([(one[i] or 0) if one else 0 for one in columns], count):
            yield slice_name(field, k), bits


def slices(values: Sequence[int], count: int) -> Iterator[tuple[int, bytes]]:
    """Yields k, and the k-th bits of all values in two's complement, unless all are 0. `count`: of the slices."""
    width, mask = (count + 7) // 8, (1 << count) - 1
    together = b"".join([(value & mask).to_bytes(width, "big") for value in values])
    for place in range(width):
        column = together[place::width]
        if column.count(0) < len(column):
            for bit, digits in enumerate(_DIGITS):
                if bits := int(column.translate(digits), 2):
                    yield 8 * (width - 1 - place) + bit, bits.to_bytes(len(values) // 8, "big")
