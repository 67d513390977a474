"""The exact integers of a listed group: what lists are sorted and filtered by.

A column is stored twice. Its bit slices (O'Neil and Quass, "Improved Query Performance with Variant Indexes", 1997)
answer filters and sorts of many groups: the k-th bit of the integer, in two's complement, is the group's bit in the
k-th bitmap, and the last slice is the sign. All columns together are the head of the group's row, for a few groups.
"""

from typing import NamedTuple

# Name -> number of slices, the sign's included: as many as the largest legal value needs. Times are in milliseconds
# (years 1 to 9999), totals in millionths: 15 digits before the point of an event, summed over 1000 orders.
SLICES = {"created_at": 49, "updated_at": 49, "total": 81, "seller_count": 11, "display_id": 54}

# Bytes of a head, and of each column in it; big-endian, signed but for seller_count.
HEAD_BYTES = 34
# Behind the JSON of a row, before each seller; it occurs in no UTF-8.
ROW_END = b"\xff"
_TIME, _TOTAL, _COUNT, _NUMBER = 7, 11, 2, 7
HEAD_WIDTHS = dict(zip(SLICES, (_TIME, _TIME, _TOTAL, _COUNT, _NUMBER), strict=True))
# A group without display_id has this one in its head.
_NO_NUMBER = (-(2**55)).to_bytes(_NUMBER, "big", signed=True)


class Columns(NamedTuple):
    """Times in Unix milliseconds, `total` in millionths. Only `display_id` may be missing."""

    created_at: int
    updated_at: int
    total: int
    seller_count: int
    display_id: int | None


def head(columns: Columns) -> bytes:
    """Returns the HEAD_BYTES bytes before the JSON of a row. Lua reads them: query/lua/parts/rows.lua."""
    created_at, updated_at, total, seller_count, display_id = columns
    return b"".join(
        (
            created_at.to_bytes(_TIME, "big", signed=True),
            updated_at.to_bytes(_TIME, "big", signed=True),
            total.to_bytes(_TOTAL, "big", signed=True),
            seller_count.to_bytes(_COUNT, "big"),
            _NO_NUMBER if display_id is None else display_id.to_bytes(_NUMBER, "big", signed=True),
        )
    )


def columns_of(row: bytes) -> Columns:
    """Returns the columns of a row, which is a head and what follows it."""
    number = row[27:34]
    return Columns(
        int.from_bytes(row[0:7], "big", signed=True),
        int.from_bytes(row[7:14], "big", signed=True),
        int.from_bytes(row[14:25], "big", signed=True),
        int.from_bytes(row[25:27], "big"),
        None if number == _NO_NUMBER else int.from_bytes(number, "big", signed=True),
    )


def row_json(row: bytes) -> bytes:
    """Returns the JSON object of a row."""
    return row[HEAD_BYTES:].partition(ROW_END)[0]


assert sum(HEAD_WIDTHS.values()) == HEAD_BYTES
