"""Ordinals: the dense numbers of the groups of a shard, in order of arrival.

An ordinal is the member of sorted sets, the field of `row` and `record`, and the place of a bit. It is never reused.
"""

# Lines in a chunk of `text`, and ordinals in a reserved block. A block is whole chunks and whole bytes of a bitmap.
LINES = 128
BLOCK = 256

MEMBER_BYTES = 4


def member_of(ordinal: int) -> bytes:
    """Returns four bytes, big-endian, so that Redis sorts members of equal scores by ordinal."""
    return ordinal.to_bytes(MEMBER_BYTES, "big")


def ordinal_of(member: bytes) -> int:
    return int.from_bytes(member, "big")


def line_of(ordinal: int) -> tuple[int, int]:
    """Returns the number of the chunk of `text`, and the place of the line in it, from 0."""
    return divmod(ordinal, LINES)


def block_end(ordinal: int) -> int:
    """Returns the first ordinal after the block of this one."""
    return (ordinal // BLOCK + 1) * BLOCK
