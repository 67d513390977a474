"""Turns rows of a mapping's query into events."""

import logging
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Mapped
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from events.contract.decode import UPDATED
from events.contract.order import OrderCreated, OrderUpdated
from events.errors import BadSource, InvalidEvent
from events.logs.log import Entry
from events.publisher import STRUCTURED, entry_of
from events.sources.database import Connection
from events.sources.mapping import Mapping
from events.sources.notes import Pair

Row = dict[str, Any]

# What the contract of this release knows; a mapping may yield more, for later releases.
_KNOWN = {field.name for field in msgspec.structs.fields(OrderUpdated)}
# Null is not a value of these: an order without them does not count yet.
_NOT_NULL = {field.name for field in msgspec.structs.fields(OrderCreated) if field.required}
_NEEDED = ("id", "order_group_id")

log = logging.getLogger(__name__)


def read_orders(connection: Connection, mapping: Mapping, orders: Iterable[str]) -> dict[Pair, Row]:
    """Returns a row for each pair of order and group. Raises BadSource for a query without these columns."""
    cursor = connection.execute(mapping.query.encode(), [sorted(orders)])
    names = [column.name for column in cursor.description or ()]
    if lacking := [name for name in _NEEDED if name not in names]:
        raise BadSource(f"SOURCE_MAPPING: orders.sql: expected the columns {', '.join(lacking)}, got {names}")
    found = (dict(zip(names, values, strict=True)) for values in cursor)
    return {(row["id"], row["order_group_id"]): row for row in found}


def entries(source: str, rows: Mapped[Pair, Row], gone: Iterable[Pair], version: int, now: datetime) -> Iterator[Entry]:
    """Yields an event for each row, and one for each pair that is gone. `now`: the time of the snapshot."""
    for row in rows.values():
        yield _entry(source, row, version, now)
    for order, group in sorted(gone):
        yield _entry(source, {"id": order, "order_group_id": group, "deleted_at": now}, version, now)


def _entry(source: str, row: Row, version: int, now: datetime) -> Entry:
    """An event that breaks the contract is published as it is: the projector parks it, with the reason."""
    data = {
        name: value for name, value in row.items() if name in _KNOWN and (value is not None or name not in _NOT_NULL)
    }
    data |= {"version": version, "updated_at": row.get("updated_at") or now}
    content = msgspec.json.encode(data)
    event = msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": blake2b(content, digest_size=16).hexdigest(),
            "source": source,
            "type": UPDATED,
            "data": msgspec.Raw(content),
        }
    )
    try:
        return entry_of(event)
    except InvalidEvent as error:
        log.warning("order %s breaks the contract: %s", row["id"], error)
        return Entry(str(row["order_group_id"]).encode(), event, STRUCTURED)
