"""Response bodies from the stored JSON. Numbers and texts pass through as they are, never decoded."""

from collections.abc import Iterable

import msgspec

from api.errors import ReadModelFault
from api.fields import GROUP_FIELDS, ORDER_FIELDS, Fields

_Object = dict[str, msgspec.Raw]

_objects = msgspec.json.Decoder(list[_Object])
_text = msgspec.json.Decoder(str)


def list_body(rows: bytes, count: int, offset: int, limit: int) -> bytes:
    """`rows`: JSON objects joined by commas."""
    return b'{"order_groups":[%b],"count":%d,"offset":%d,"limit":%d}' % (rows, count, offset, limit)


def one_body(row: bytes) -> bytes:
    return b'{"order_group":%b}' % row


def pick(rows: bytes, fields: Fields, seller_ids: Iterable[str] | None) -> bytes:
    """The wanted fields of documents that are joined by commas, joined again.

    With `seller_ids`, `orders` keeps only those of these sellers. Raises ReadModelFault.
    """
    sellers = None if seller_ids is None else frozenset(seller_ids)
    if fields.group == GROUP_FIELDS and fields.order == ORDER_FIELDS and sellers is None:
        return rows
    try:
        documents = _objects.decode(b"[" + rows + b"]")
        picked = [_pick_group(document, fields, sellers) for document in documents]
    except (msgspec.DecodeError, KeyError) as error:
        raise ReadModelFault(f"a document is not as it was agreed: {error!r}") from error
    return msgspec.json.encode(picked)[1:-1]


def _pick_group(document: _Object, fields: Fields, sellers: frozenset[str] | None) -> _Object:
    picked = {name: document[name] for name in fields.group}
    if fields.order and (fields.order != ORDER_FIELDS or sellers is not None):
        orders = [
            _pick_order(order, fields.order) for order in _objects.decode(document["orders"]) if _of(order, sellers)
        ]
        picked["orders"] = msgspec.Raw(msgspec.json.encode(orders))
    return picked


def _pick_order(order: _Object, names: tuple[str, ...]) -> _Object:
    return {name: order[name] for name in names}


def _of(order: _Object, sellers: frozenset[str] | None) -> bool:
    return sellers is None or _text.decode(order["seller_id"]) in sellers
