"""Bitmaps over ordinals, as Redis has them: the first bit is the highest of the first byte. Pure."""

import re
from collections.abc import Iterator

_SET = re.compile(rb"[^\0]+")
# Of each byte, the numbers of the bits that are set.
_SET_BITS = tuple(tuple(bit for bit in range(8) if byte & 128 >> bit) for byte in range(256))


def ordinals(bits: bytes) -> Iterator[int]:
    """Yields the numbers of the bits that are set, ascending."""
    for run in _SET.finditer(bits):
        for number, byte in enumerate(run[0], run.start()):
            for bit in _SET_BITS[byte]:
                yield 8 * number + bit
