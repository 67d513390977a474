"""How a group is stored, as docs/architecture.md has it, written a second time. No project code."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tests import oracle
from tests.fields import DEFAULT_FIELDS, EVENT_FIELDS, EVENT_TIMES

# Bits of each column; the last one is the sign.
SLICES = {"created_at": 49, "updated_at": 49, "total": 81, "seller_count": 11, "display_id": 54}
HEAD_BYTES = 7 + 7 + 11 + 2 + 7
LINES = 128
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def columns(document: dict[str, Any]) -> dict[str, int]:
    """`display_id` is left out where the document has none."""
    found = {
        "created_at": _ms(document["created_at"]),
        "updated_at": _ms(document["updated_at"]),
        "total": int(Decimal(document["total"]) * 10**6),
        "seller_count": document["seller_count"],
        "display_id": document["display_id"],
    }
    return {field: value for field, value in found.items() if value is not None}


def head(document: dict[str, Any]) -> bytes:
    found = {"display_id": -(2**55)} | columns(document)
    sizes = {"created_at": 7, "updated_at": 7, "total": 11, "seller_count": 2, "display_id": 7}
    return b"".join(found[field].to_bytes(size, "big", signed=True) for field, size in sizes.items())


def row(document: dict[str, Any]) -> bytes:
    """A head, the JSON object of the default fields, with the shortest number as `total`, then the sellers."""
    total = f"{(Decimal(document['total']) + 0).normalize():f}"
    fields = {field: document[field] for field in DEFAULT_FIELDS} | {"total": msgspec.Raw(total.encode())}
    text: bytes = msgspec.json.encode(fields)
    return head(document) + b"\xff".join((text, *(seller.encode() for seller in document["seller_ids"])))


def line(document: dict[str, Any]) -> bytes:
    texts = [document["id"], document["customer_id"] or "", *oracle.searched(document)]
    group_id, customer_id, *more = [text.casefold().encode() for text in texts]
    line: bytes = group_id + b"\xfe" + customer_id + b"".join(b"\xfd" + text for text in more)
    return line + b"".join(order_mark(order["id"]) for order in document["orders"])


def order_mark(order_id: str) -> bytes:
    """0xFC, then the first 48 bits of BLAKE2b, six in a byte, each byte from 0x80 on."""
    bits = f"{int(hashlib.blake2b(order_id.encode(), digest_size=6).hexdigest(), 16):048b}"
    return b"\xfc" + bytes(int("10" + bits[i : i + 6], 2) for i in range(0, 48, 6))


def bitmaps(document: dict[str, Any]) -> set[str]:
    """Names of the bitmaps that have the group's bit; those of values only where they exist."""
    found = {"bits:all"} | {f"bits:{name}" for name in oracle.indexes(document) if name.startswith("of:")}
    for field, value in columns(document).items():
        found |= {f"bits:by:{field}:{k}" for k in range(SLICES[field]) if value >> k & 1}
    return found | ({"bits:has:display_id"} if document["display_id"] is not None else set())


def record(document: dict[str, Any]) -> bytes:
    """A record that has this document: each order as one event left it."""
    orders = []
    for order in sorted(document["orders"], key=lambda order: str(order["id"])):
        group = {"cart_id": document["cart_id"], "order_group_display_id": document["display_id"], "deleted_at": None}
        group |= {"order_group_created_at": _us(document["created_at"])}
        group |= {"order_group_customer_id": document["customer_id"]}
        total = int(Decimal(order["total"]) * 10**6)
        values = {**order, **group, "created_at": _us(order["created_at"]), "total": total}
        values["canceled_at"] = order["canceled_at"] and _us(order["canceled_at"])
        names = {field: order["customer"][field] for field in ("first_name", "last_name")}
        values |= {"seller_name": order["seller"]["name"], "customer_name": None}
        values |= {f"customer_{field}": name for field, name in names.items()}
        revision = [0, _us(order["updated_at"]), 0]
        indexes = b"\x01" * len(EVENT_FIELDS)
        orders.append([order["id"], indexes, revision, [values[field] for field in EVENT_FIELDS]])
    body = msgspec.msgpack.encode(orders)
    return hashlib.blake2b(body, digest_size=8).digest() + body


def document_of(group_id: str, stored: bytes) -> dict[str, Any] | None:
    """Returns the document of a record, None if the group is not listed. Checks the revision of the record."""
    revision, body = stored[:8], stored[8:]
    assert revision == hashlib.blake2b(body, digest_size=8).digest(), group_id
    orders = [_order(*packed) for packed in msgspec.msgpack.decode(body)]
    assert [order["id"] for order in orders] == sorted({order["id"] for order in orders})
    return oracle.document(group_id, orders)


def _order(order_id: str, indexes: bytes, numbers: list[int], values: list[Any]) -> dict[str, Any]:
    revisions = [(numbers[i], _time(numbers[i + 1]), numbers[i + 2]) for i in range(0, len(numbers), 3)]
    order: dict[str, Any] = {"id": order_id, "updated_at": revisions[0][1], "revisions": {}}
    assert len(indexes) == len(values)
    assert indexes[-1:] != b"\0", "fields after the last one that was set"
    for field, index, value in zip(EVENT_FIELDS, indexes, values, strict=False):
        if index:
            order["revisions"][field] = revisions[index - 1]
            if field == "total":
                value = Decimal(int(value)) / 10**6
            elif field in EVENT_TIMES and value is not None:
                value = _time(value)
            order[field] = value
        else:
            assert value is None, (order_id, field)
    return order


def bits(bitmap: bytes) -> set[int]:
    return {8 * i + place for i, byte in enumerate(bitmap) if byte for place in range(8) if byte >> (7 - place) & 1}


def as_bitmap(ordinals: Iterable[int]) -> bytes:
    ordinals = set(ordinals)
    found = bytearray(max(ordinals, default=-1) // 8 + 1)
    for ordinal in ordinals:
        found[ordinal // 8] |= 1 << (7 - ordinal % 8)
    return bytes(found)


def member(ordinal: int) -> bytes:
    return ordinal.to_bytes(4, "big")


def ordinal(member: bytes) -> int:
    assert len(member) == 4
    return int.from_bytes(member, "big")


def _us(text: str) -> int:
    return (oracle.parse_time(text) - EPOCH) // timedelta(microseconds=1)


def _ms(text: str) -> int:
    return _us(text) // 1000


def _time(unix_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=unix_us)
