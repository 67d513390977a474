"""Response bodies from stored rows and rendered records. Values of JSON are copied as bytes and never decoded."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS, RELATIONS, Fields
from projector.readmodel.query.plan import rows_suffice
from projector.readmodel.query.query import Query
from projector.readmodel.record.document import whole

# Bytes of records that are rendered before other requests get a turn: half a millisecond. One needs several turns.
SLICE_BYTES = 8 * 1024
# Decoders in the cache, one for each choice of fields.
CACHED_DECODERS_MAX = 100

_text = msgspec.json.Decoder(str)


def list_body(rows: bytes, count: int, offset: int, limit: int, more: bytes = b"") -> bytes:
    """`rows`: JSON objects joined by commas. `more`: further members, each after a comma."""
    return b'{"order_groups":[%b],"count":%d,"offset":%d,"limit":%d%b}' % (rows, count, offset, limit, more)


def one_body(row: bytes) -> bytes:
    return b'{"order_group":%b}' % row


async def documents(query: Query, rows: Sequence[bytes], records: Sequence[bytes]) -> bytes:
    """Returns JSON objects of the fields that the query wants, joined by commas. Lets other requests run in between.

    `rows`, `records`: as of an answer. Raises ReadModelFault.
    """
    if not rows_suffice(query):
        return await pick_in_slices(rows, records, query.fields, query.values_of("seller_id"))
    joined = b",".join(rows)
    return joined if query.fields.group == DEFAULT_FIELDS else pick(joined, query.fields, None)


async def pick_in_slices(
    rows: Sequence[bytes], records: Sequence[bytes], fields: Fields, seller_ids: Iterable[str] | None
) -> bytes:
    """Returns what `pick` returns of whole documents, and lets other requests run between slices.

    `rows`: JSON objects with the ids of the records. Raises ReadModelFault.
    """
    parts: list[bytes] = []
    render = partial(document, with_relations=bool(fields.relations))
    for start, end in slices(records):
        if parts:
            await asyncio.sleep(0)
        documents = map(render, rows[start:end], records[start:end])
        parts.append(pick(b",".join(documents), fields, seller_ids))
    return b",".join(parts)


def slices(records: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yields the ends of runs of consecutive records. A run ends with the record that takes it to SLICE_BYTES."""
    start = size = 0
    for n, record in enumerate(records, 1):
        size += len(record)
        if size >= SLICE_BYTES or n == len(records):
            yield start, n
            start, size = n, 0


class _Id(Struct):
    id: str


_id = msgspec.json.Decoder(_Id)


def document(row: bytes, record: bytes, *, with_relations: bool = False) -> bytes:
    """Returns the whole document of a listed group. Raises ReadModelFault."""
    return document_of(_id.decode(row).id, record, with_relations=with_relations)


def document_of(group_id: str, record: bytes, *, with_relations: bool = False) -> bytes:
    try:
        found = whole(group_id, record, with_relations=with_relations)
    except (msgspec.DecodeError, IndexError, TypeError) as error:
        raise ReadModelFault(f"expected the record of {group_id}: {error!r}") from error
    if found is None:
        raise ReadModelFault(f"{group_id} has a row, but no order is counted")
    return found


def pick(rows: bytes, fields: Fields, seller_ids: Iterable[str] | None) -> bytes:
    """Returns the chosen fields of `rows`, which are documents joined by commas, in the same form.

    With `seller_ids`, `orders` holds only the orders of these sellers. Raises ReadModelFault.
    """
    sellers = None if seller_ids is None else frozenset(seller_ids)
    if fields.group == GROUP_FIELDS and _is_all_of_orders(fields) and sellers is None:
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
    shown: list[tuple[str, Any]] = [(name, Raw) for name in names]
    for relation, chosen in fields.relations:
        shown.append((relation, msgspec.defstruct(relation, [(name, Raw) for name in chosen], gc=False)))
    order = msgspec.defstruct("Order", shown, gc=False)
    orders = Raw if _is_all_of_orders(fields) and not by_seller else list[order]  # type: ignore[valid-type]
    group = msgspec.defstruct("Group", [(name, orders if name == "orders" else Raw) for name in fields.group], gc=False)
    return msgspec.json.Decoder(list[group])  # type: ignore[valid-type]


def _is_all_of_orders(fields: Fields) -> bool:
    """Whether orders are shown as `document` renders them: all their fields, with all relations or none."""
    return fields.order == ORDER_FIELDS and fields.relations in ((), tuple(RELATIONS.items()))


def _of_sellers(orders: Sequence[Any], sellers: frozenset[str], *, with_seller_id: bool) -> list[Any]:
    kept = [order for order in orders if _text.decode(order.seller_id) in sellers]
    if not with_seller_id:
        for order in kept:
            order.seller_id = UNSET
    return kept
