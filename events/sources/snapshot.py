"""Turns rows of a mapping's query into events."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import psycopg

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
_PUBLISHED = {field.name for field in msgspec.structs.fields(OrderUpdated)} | {"unreadable"}
# Null is not a value of these: an order without them does not count yet.
_NOT_NULL = {field.name for field in msgspec.structs.fields(OrderCreated) if field.required}
_NEEDED = ("id", "order_group_id")
# Of a text, in characters. A longer one breaks the contract, and does so still if it is cut.
TEXT_MAX = 4096
# Errors that are due to what a row holds: another order can be read.
_OF_A_ROW = (psycopg.DataError, psycopg.errors.CardinalityViolation, UnicodeDecodeError)

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """`rows`: a row for each pair of order and group. `unreadable`: order -> why the query fails for it."""

    rows: dict[Pair, Row]
    unreadable: dict[str, str]


def read_orders(connection: Connection, mapping: Mapping, orders: Iterable[str]) -> Snapshot:
    """Raises BadSource for a query without the columns that name order and group."""
    ids = sorted(orders)
    if not ids:
        return Snapshot({}, {})
    try:
        with connection.transaction():
            return Snapshot(_rows(connection, mapping, ids), {})
    except _OF_A_ROW as error:
        if len(ids) == 1:
            # Raises where the query fails without any order.
            _rows(connection, mapping, [])
            return Snapshot({}, {ids[0]: str(error)})
    first, last = (read_orders(connection, mapping, half) for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]))
    return Snapshot(first.rows | last.rows, first.unreadable | last.unreadable)


def _rows(connection: Connection, mapping: Mapping, ids: list[str]) -> dict[Pair, Row]:
    cursor = connection.execute(mapping.query.encode(), [ids])
    names = [column.name for column in cursor.description or ()]
    if lacking := [name for name in _NEEDED if name not in names]:
        raise BadSource(f"SOURCE_MAPPING: orders.sql: expected the columns {', '.join(lacking)}, got {names}")
    found = {}
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        # The ids of notes are texts, also where the columns are numbers.
        row |= {name: str(row[name]) for name in _NEEDED if row[name] is not None}
        found[row["id"], row["order_group_id"]] = row
    return found


def entries(source: str, found: Snapshot, noted: Iterable[Pair], version: int, now: datetime) -> Iterator[Entry]:
    """Yields an event for each row, and one for each of the `noted` pairs that is gone. `now`: when it was read.

    An order that cannot be read gets an event without a group, which the projector parks.
    """
    for row in found.rows.values():
        yield _entry(source, row, version, now)
    for order, group in sorted(noted):
        if (order, group) not in found.rows and order not in found.unreadable:
            yield _entry(source, {"id": order, "order_group_id": group, "deleted_at": now}, version, now)
    for order, reason in found.unreadable.items():
        yield _entry(source, {"id": order, "order_group_id": None, "unreadable": reason}, version, now)


def _entry(source: str, row: Row, version: int, now: datetime) -> Entry:
    """An event that breaks the contract is published as it is: the projector parks it, with the reason."""
    data = {
        name: value[:TEXT_MAX] if isinstance(value, str) else value
        for name, value in row.items()
        if name in _PUBLISHED and (value is not None or name not in _NOT_NULL)
    }
    data |= {"version": version, "updated_at": row.get("updated_at") or now}
    content = msgspec.json.encode(data, enc_hook=str)
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
        log.warning("order %s breaks the contract: %s", row["id"], row.get("unreadable") or error)
        group = data.get("order_group_id")
        return Entry(group.encode() if group else None, event, STRUCTURED)
