"""Bitmaps over ordinals as Redis has them: the bit of the ordinal 0 is the highest of the first byte. Pure."""

import re
from collections.abc import Iterable, Iterator

_NOT_ZERO = re.compile(rb"[^\0]")


def bitmap(ordinals: Iterable[int]) -> bytes:
    bits = bytearray()
    for ordinal in ordinals:
        at = ordinal >> 3
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        bits[at] |= 0x80 >> (ordinal & 7)
    return bytes(bits)


def ordinals_in(bits: bytes, base: int) -> Iterator[int]:
    """Of a part of a bitmap, from the byte `base` on."""
    for found in _NOT_ZERO.finditer(bits):
        byte, at = found.group()[0], 8 * (base + found.start())
        yield from (at + n for n in range(8) if byte << n & 128)
