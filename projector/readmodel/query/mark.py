"""Marks: after which row of a list a walk goes on. Pure.

A mark names a row by what the list is sorted by: value, ordinal, shard. So it does not matter whether the row is still
there, and rows that come and go in front of it do not move it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from projector.readmodel.query.query import Query

_CHECK_BYTES, _DIGEST_BYTES = 4, 8


class Mark(Struct, frozen=True, array_like=True):
    """The last row of a page of the list with this order and these filters, in this generation.

    `order`: as the parameter of that name. `filters`, `generation`: digests. `value`: of the sort column, None for a
    group without display_id.
    """

    order: str
    filters: bytes
    generation: bytes
    value: int | None
    ordinal: Annotated[int, Meta(ge=0, lt=2**32)]
    shard: Annotated[int, Meta(ge=0)]


_mark = msgspec.json.Decoder(Mark)


def encoded(mark: Mark) -> str:
    """Returns an opaque text that needs no escapes in a URL."""
    raw = msgspec.json.encode(mark)
    return urlsafe_b64encode(_digest(raw, _CHECK_BYTES) + raw).decode().rstrip("=")


def decoded(text: str) -> Mark | None:
    """Returns None for what `encoded` did not return."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        check, raw = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        return _mark.decode(raw) if check == _digest(raw, _CHECK_BYTES) else None
    except (NoBase64, ValueError):
        return None


def order_of(query: "Query") -> str:
    return ("-" if query.descending else "") + query.sort


def filters_of(query: "Query") -> bytes:
    return _digest(msgspec.json.encode((query.needle, query.ids, query.values, query.ranges)), _DIGEST_BYTES)


def generation_of(name: bytes) -> bytes:
    """`name`: unique to the generation."""
    return _digest(name, _DIGEST_BYTES)


def _digest(raw: bytes, size: int) -> bytes:
    return blake2b(raw, digest_size=size).digest()
