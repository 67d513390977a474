"""Compares the tables of a shop with the list, order by order.

Both change meanwhile, so what differs is compared again until it is equal or SETTLE_S have passed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Mapped
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic, sleep
from typing import Any

import msgspec
from msgspec import Struct

from events.contract.order import OrderUpdated
from events.logs.log import Log
from events.sources.backfill import orders_after
from events.sources.database import Connection
from events.sources.mapping import Mapping
from events.sources.marks import read_marks, store_marks
from events.sources.notes import Pair, note_pairs
from events.sources.snapshot import Row, read_orders

# How many orders, or groups, are compared together.
BATCH = 1_000
# How long a difference must last, in seconds; how often it is looked at again.
SETTLE_S = 5.0
AGAIN_S = 0.25
# How many of the newest records of each partition are searched for events of other publishers.
RECORDS = 1_000

# The group's fields in the list, and their names in events.
_OF_GROUP = {
    "order_group_display_id": "display_id",
    "cart_id": "cart_id",
    "order_group_created_at": "created_at",
    "order_group_customer_id": "customer_id",
}
_NESTED = {
    "seller_name": ("seller", "name"),
    "customer_first_name": ("customer", "first_name"),
    "customer_last_name": ("customer", "last_name"),
}
_NOT_LISTED = {"id", "order_group_id", "deleted_at", "version", *_OF_GROUP, *_NESTED}
_KNOWN = [field.name for field in msgspec.structs.fields(OrderUpdated)]
# The list has times in milliseconds.
_ONE_MS = timedelta(milliseconds=1)

Group = Mapped[str, Any]


class List(Struct, frozen=True):
    """How the list is read. Groups are documents of the API, with `orders`; numbers are Decimals.

    `of`: the groups with these ids, at most BATCH. `all`: all groups, in parts of at most BATCH.
    """

    of: Callable[[Sequence[str]], Sequence[Group]]
    all: Callable[[], Iterable[Sequence[Group]]]


class Difference(Struct, frozen=True):
    """`field`: empty where the whole order is in one of the two alone."""

    order: str
    group: str
    field: str
    table: str
    list: str


class Checked(Struct, frozen=True):
    """`orders`: compared. `differing`: pairs of order and group that differ. `noted`: whether they were noted anew.
    `publishers`: sources of other events in the log, whose versions must not be mixed with ours.
    """

    orders: int
    differences: list[Difference]
    differing: int
    noted: bool
    publishers: list[str]


def check(
    connection: Connection,
    mapping: Mapping,
    listed: List,
    log: Log,
    note: bool,
    shown: int = 10,
    settle_s: float = SETTLE_S,
    progress: Callable[[int], None] = lambda orders: None,
) -> Checked:
    """Compares all orders. If they agree, or if `note` and all that differ are noted, marks the tables as seen.

    `shown`: how many differences are returned at most. Raises SourceUnavailable.
    """
    marks = read_marks(connection, mapping)
    compared = 0
    suspects: set[Pair] = set()
    for orders in _all_orders(connection, mapping):
        found = read_orders(connection, mapping, orders).rows
        suspects |= _differing(found, listed.of(_groups(found)), found.keys())
        compared += len(orders)
        progress(compared)
    for groups in listed.all():
        # Also orders that no table has any more.
        pairs = _by_pair(groups)
        suspects |= _differing(read_orders(connection, mapping, {order for order, _ in pairs}).rows, groups, pairs)
    deadline_s = monotonic() + settle_s
    while (suspects := _still_differing(connection, mapping, listed, suspects)) and monotonic() < deadline_s:
        sleep(AGAIN_S)
    differences = list(_differences(connection, mapping, listed, sorted(suspects)[:shown]))[:shown]
    if note and suspects:
        note_pairs(connection, sorted(suspects))
    if note or not suspects:
        store_marks(connection, marks)
    return Checked(compared, differences, len(suspects), note and bool(suspects), _publishers(log, mapping.source))


def _all_orders(connection: Connection, mapping: Mapping) -> Iterator[list[str]]:
    after: str | None = None
    while found := orders_after(connection, mapping, after, BATCH):
        after = found[-1]
        yield found


def _still_differing(connection: Connection, mapping: Mapping, listed: List, suspects: set[Pair]) -> set[Pair]:
    left: set[Pair] = set()
    pairs = sorted(suspects)
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        found = read_orders(connection, mapping, {order for order, _ in part}).rows
        left |= _differing(found, listed.of(_groups(part)), part)
    return left


def _differing(found: Mapped[Pair, Row], groups: Iterable[Group], pairs: Iterable[Pair]) -> set[Pair]:
    by_pair = _by_pair(groups)
    return {pair for pair in pairs if next(_compared(pair, found.get(pair), by_pair.get(pair)), None)}


def _differences(connection: Connection, mapping: Mapping, listed: List, pairs: Sequence[Pair]) -> Iterator[Difference]:
    found = read_orders(connection, mapping, {order for order, _ in pairs}).rows
    by_pair = _by_pair(listed.of(_groups(pairs)))
    for pair in pairs:
        yield from _compared(pair, found.get(pair), by_pair.get(pair))


def _by_pair(groups: Iterable[Group]) -> dict[Pair, tuple[Group, Mapped[str, Any]]]:
    return {(order["id"], group["id"]): (group, order) for group in groups for order in group["orders"]}


def _groups(pairs: Iterable[Pair]) -> list[str]:
    return sorted({group for _, group in pairs})


def _compared(pair: Pair, row: Row | None, in_list: tuple[Group, Mapped[str, Any]] | None) -> Iterator[Difference]:
    """Yields what differs. A field that the list does not show is not compared."""
    counts = row is not None and row.get("deleted_at") is None
    if not counts or row is None or in_list is None:
        if counts != (in_list is not None):
            yield Difference(*pair, "", *(("there", "not there") if counts else ("not there", "there")))
        return
    group, order = in_list
    for field in _KNOWN:
        if field not in row or (field == "updated_at" and row[field] is None):
            continue
        if field in _OF_GROUP:
            # Null in one order's event does not clear what another order's says of the group.
            places, name = (group, _OF_GROUP[field]) if row[field] is not None else ({}, "")
        elif field in _NESTED:
            outer, name = _NESTED[field]
            places = order.get(outer) or {}
        else:
            places, name = ({}, "") if field in _NOT_LISTED else (order, field)
        if name in places and not _equal(row[field], places[name]):
            yield Difference(*pair, field, str(row[field]), str(places[name]))


def _equal(row: Any, listed: Any) -> bool:
    if isinstance(row, datetime) and isinstance(listed, str):
        with suppress(ValueError):
            return abs(datetime.fromisoformat(listed).astimezone(UTC) - row) < _ONE_MS
    if isinstance(row, Decimal) and isinstance(listed, int | float | Decimal):
        return row == Decimal(str(listed))
    return bool(row == listed)


def _publishers(log: Log, own: str) -> list[str]:
    """Returns the sources of other events among the newest of each partition."""
    end = log.end()
    first = log.first()
    start = {partition: max(first[partition], at - RECORDS) for partition, at in end.items()}
    found: set[str] = set()
    reader = log.read(start)
    try:
        # Empty at the end, or before it while a transaction is open.
        while records := reader.poll(1.0, RECORDS, end):
            for record in records:
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    found.add(_source.decode(record.value or b"").source)
    finally:
        reader.close()
    return sorted(found - {own, ""})


class _Source(Struct):
    source: str = ""


_source = msgspec.json.Decoder(_Source)
