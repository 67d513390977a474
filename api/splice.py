"""Response bodies from the stored JSON. Values are copied as bytes and never decoded."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.fields import GROUP_FIELDS, ORDER_FIELDS, Fields

# Bytes of documents that are decoded before other requests get a turn. A group of 1000 orders is four times as large,
# and is decoded at once, in a few hundred microseconds.
SLICE_BYTES = 64 * 1024
# Decoders in the cache, one for each choice of fields.
CACHED_DECODERS_MAX = 100

_text = msgspec.json.Decoder(str)


def list_body(rows: bytes, count: int, offset: int, limit: int) -> bytes:
    """`rows`: JSON objects joined by commas."""
    return b'{"order_groups":[%b],"count":%d,"offset":%d,"limit":%d}' % (rows, count, offset, limit)


def one_body(row: bytes) -> bytes:
    return b'{"order_group":%b}' % row


async def pick_in_slices(documents: Sequence[bytes], fields: Fields, seller_ids: Iterable[str] | None) -> bytes:
    """Returns what `pick` returns, and lets other requests run between slices."""
    parts: list[bytes] = []
    for slice_ in slices(documents):
        if parts:
            await asyncio.sleep(0)
        parts.append(pick(b",".join(slice_), fields, seller_ids))
    return b",".join(parts)


def slices(documents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yields runs of consecutive documents. A run ends with the document that takes it to SLICE_BYTES."""
    start = size = 0
    for n, document in enumerate(documents, 1):
        size += len(document)
        if size >= SLICE_BYTES or n == len(documents):
            yield documents[start:n]
            start, size = n, 0


def pick(rows: bytes, fields: Fields, seller_ids: Iterable[str] | None) -> bytes:
    """Returns the chosen fields of `rows`, which are documents joined by commas, in the same form.

    With `seller_ids`, `orders` holds only the orders of these sellers. Raises ReadModelFault.
    """
    sellers = None if seller_ids is None else frozenset(seller_ids)
    if fields.group == GROUP_FIELDS and fields.order == ORDER_FIELDS and sellers is None:
        return rows
    by_seller = sellers is not None and bool(fields.order)
    try:
        picked = _decoder(fields, by_seller).decode(b"[" + rows + b"]")
        if sellers is not None and by_seller:
            for group in picked:
                group.orders = _of_sellers(group.orders, sellers, with_seller_id="seller_id" in fields.order)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"expected documents with the fields of the read model: {error!r}") from error
    return msgspec.json.encode(picked)[1:-1]


@lru_cache(CACHED_DECODERS_MAX)
def _decoder(fields: Fields, by_seller: bool) -> "msgspec.json.Decoder[list[Any]]":
    """Returns a decoder of groups to structs of the chosen fields, in the order of the document, as raw JSON."""
    names = [name for name in ORDER_FIELDS if name in fields.order or (by_seller and name == "seller_id")]
    order = msgspec.defstruct("Order", [(name, Raw) for name in names], gc=False)
    orders = list[order] if by_seller or fields.order != ORDER_FIELDS else Raw  # type: ignore[valid-type]
    group = msgspec.defstruct("Group", [(name, orders if name == "orders" else Raw) for name in fields.group], gc=False)
    return msgspec.json.Decoder(list[group])  # type: ignore[valid-type]


def _of_sellers(orders: Sequence[Any], sellers: frozenset[str], *, with_seller_id: bool) -> list[Any]:
    kept = [order for order in orders if _text.decode(order.seller_id) in sellers]
    if not with_seller_id:
        for order in kept:
            order.seller_id = UNSET
    return kept
