"""The same marketplace in PostgreSQL, in two schemas, and the lists as SQL.

`Normalised` has the tables and queries of the reference marketplace: groups, their orders, the orders' totals (JSON in
a table of versions) and sellers, joined and summed for each page. `Denormalised` is optimised for lists: one row per
group with all that lists show, filter and sort by, and every index that could help.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from bench.contest import Answer
from bench.marketplace import CHANNELS, STATUSES, Group, time_text
from bench.shapes import Shape

LIMIT = 50
Connection = psycopg.Connection[Any]

_FLAT = """
CREATE UNLOGGED TABLE flat (
    group_id text COLLATE "C", group_display_id bigint, cart_id text, customer_id text, sales_channel_id text,
    created_at timestamptz, id text COLLATE "C", display_id bigint, seller_id text, status text, total numeric,
    updated_at timestamptz
)
"""
_NORMALISED = """
CREATE UNLOGGED TABLE order_group AS
    SELECT group_id AS id, min(group_display_id) AS display_id, min(cart_id) AS cart_id,
        min(customer_id) AS customer_id, min(created_at) AS created_at, max(updated_at) AS updated_at,
        NULL::timestamptz AS deleted_at
    FROM flat GROUP BY group_id ORDER BY min(created_at);
CREATE UNLOGGED TABLE order_group_order AS SELECT group_id AS order_group_id, id AS order_id FROM flat;
CREATE UNLOGGED TABLE "order" AS
    SELECT id, display_id, 1 AS version, status, sales_channel_id, customer_id, 'eur' AS currency_code, created_at,
        updated_at, NULL::timestamptz AS deleted_at FROM flat;
CREATE UNLOGGED TABLE order_summary AS
    SELECT 'ordsum_' || id AS id, id AS order_id, 1 AS version, jsonb_build_object('current_order_total', total,
        'original_order_total', total, 'paid_total', 0, 'refunded_total', 0, 'pending_difference', total) AS totals
    FROM flat;
CREATE UNLOGGED TABLE order_seller AS SELECT id AS order_id, seller_id FROM flat;
ALTER TABLE order_group ADD PRIMARY KEY (id);
ALTER TABLE order_group_order ADD PRIMARY KEY (order_group_id, order_id);
ALTER TABLE "order" ADD PRIMARY KEY (id);
ALTER TABLE order_summary ADD PRIMARY KEY (id);
ALTER TABLE order_seller ADD PRIMARY KEY (order_id, seller_id);
CREATE INDEX ON order_group (created_at);
CREATE INDEX ON order_group (customer_id);
CREATE INDEX ON order_group_order (order_id);
CREATE INDEX ON "order" (status);
CREATE INDEX ON order_summary (order_id, version);
CREATE INDEX ON order_seller (seller_id);
"""
_DENORMALISED = """
CREATE UNLOGGED TABLE listed AS
    SELECT group_id AS id, min(customer_id) AS customer_id, count(DISTINCT seller_id)::int AS seller_count,
        sum(total) AS total, min(created_at) AS created_at, max(updated_at) AS updated_at,
        min(group_display_id) AS display_id, array_agg(DISTINCT seller_id) AS seller_ids,
        array_agg(DISTINCT status) AS statuses, array_agg(DISTINCT sales_channel_id) AS sales_channel_ids
    FROM flat GROUP BY group_id ORDER BY min(created_at);
ALTER TABLE listed ADD PRIMARY KEY (id);
CREATE INDEX ON listed (created_at, id);
CREATE INDEX ON listed (updated_at, id);
CREATE INDEX ON listed (total, id);
CREATE INDEX ON listed (seller_count, id);
CREATE INDEX ON listed (display_id, id);
CREATE INDEX ON listed (customer_id, created_at, id);
CREATE INDEX ON listed USING gin (seller_ids);
CREATE INDEX ON listed USING gin (statuses);
CREATE INDEX ON listed USING gin (sales_channel_ids);
"""
_TRIGRAMS = """
CREATE EXTENSION pg_trgm;
CREATE INDEX ON listed USING gin (lower(id) gin_trgm_ops);
CREATE INDEX ON listed USING gin (lower(customer_id) gin_trgm_ops);
"""
_SORTS = ("created_at", "updated_at", "total")

_LISTED_WHERE = {
    "customer_id": "customer_id = %s",
    "seller_id": "seller_ids @> ARRAY[%s::text]",
    "status": "statuses @> ARRAY[%s::text]",
    "sales_channel_id": "sales_channel_ids @> ARRAY[%s::text]",
    "created_at[$gte]": "created_at >= %s::timestamptz",
    "total[$gte]": "total >= %s::numeric",
    "q": "(lower(id) LIKE '%%' || %s || '%%' OR lower(customer_id) LIKE '%%' || %s || '%%')",
}
_OF_ORDER = """EXISTS (
    SELECT 1 FROM order_group_order x JOIN "order" y ON y.id = x.order_id LEFT JOIN order_seller z ON z.order_id = y.id
    WHERE x.order_group_id = g.id AND {})"""
_JOINED_WHERE = {
    "customer_id": "g.customer_id = %s",
    "status": _OF_ORDER.format("y.status = %s"),
}
_JOINED = """
SELECT g.*, count(DISTINCT s.seller_id) AS seller_count,
    coalesce(sum((t.totals ->> 'current_order_total')::numeric), 0) AS total
FROM order_group g
LEFT JOIN order_group_order l ON l.order_group_id = g.id
LEFT JOIN "order" o ON o.id = l.order_id
LEFT JOIN order_summary t ON t.order_id = o.id AND t.version = o.version
LEFT JOIN order_seller s ON s.order_id = o.id
WHERE {} GROUP BY g.id ORDER BY g.created_at DESC LIMIT {} OFFSET {}
"""


def load(connection: Connection, groups: Iterable[Group], progress: Callable[[str], None]) -> bool:
    """Returns whether there are indexes for `q`, which need an extension."""
    connection.execute(_FLAT)
    progress("copying to PostgreSQL")
    with connection.cursor() as cursor, cursor.copy("COPY flat FROM STDIN") as copy:
        for group in groups:
            head = (group.id, group.display_id, group.cart_id, group.customer_id, group.sales_channel_id)
            at = time_text(group.created_ms)
            for order in group.orders:
                updated_at = time_text(order.updated_ms)
                total = f"{order.total_cents / 100:.2f}"
                copy.write_row(
                    (*head, at, order.id, order.display_id, order.seller_id, order.status, total, updated_at)
                )
    has_trigrams = _has_trigrams(connection)
    partial = [index.as_string(connection) for index in _partial_indexes()]
    last = ["DROP TABLE flat", "VACUUM ANALYZE"]
    for statements in (_statements(_DENORMALISED), partial, _statements(_TRIGRAMS) if has_trigrams else []):
        _run(connection, statements, progress)
    _run(connection, [*_statements(_NORMALISED), *last], progress)
    return has_trigrams


def _statements(text: str) -> list[str]:
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def _run(connection: Connection, statements: Sequence[str], progress: Callable[[str], None]) -> None:
    for statement in statements:
        progress(f"PostgreSQL: {' '.join(statement.split())[:80]}")
        connection.execute(statement.encode())


def _partial_indexes() -> Iterable[Composed]:
    """One index for each status and channel, of which there are few, in every sort order."""
    values = {"statuses": [*STATUSES, "canceled"], "sales_channel_ids": [*CHANNELS]}
    template = SQL("CREATE INDEX ON listed ({}, id) WHERE {} @> ARRAY[{}::text]")
    return [
        template.format(Identifier(sort), Identifier(column), Literal(value))
        for column, some in values.items()
        for value in some
        for sort in _SORTS
    ]


def _has_trigrams(connection: Connection) -> bool:
    found = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
    return found.fetchone() is not None


def where(shape: Shape) -> tuple[str, list[str]]:
    """Returns the condition on the one table, and its arguments."""
    return " AND ".join(_LISTED_WHERE[name] for name in shape.filters) or "true", _arguments(shape)


class Denormalised:
    """Two prepared statements, count and page, without an API in between."""

    name = "PostgreSQL, one table"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        """Nothing to prepare."""

    def calls(self) -> None:
        """Not available."""

    def ask(self, shape: Shape) -> Answer:
        condition, arguments = where(shape)
        sort, direction = shape.order.lstrip("-"), "DESC" if shape.order.startswith("-") else "ASC"
        page = f"""
            SELECT id, customer_id, seller_count, total, created_at, updated_at FROM listed WHERE {condition}
            ORDER BY {sort} {direction}, id {direction} LIMIT {LIMIT} OFFSET {shape.offset}
        """
        return _ask(self._connection, f"SELECT count(*) FROM listed WHERE {condition}", page, arguments)


class Normalised:
    """The reference marketplace's SQL, which cannot sort or filter by totals, and sorts by one field only."""

    name = "PostgreSQL, joins"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """The first pages of all groups and of one filter."""
        return [
            shape for shape in shapes if "order" not in shape.parameters and shape.parameters.keys() <= {*_JOINED_WHERE}
        ]

    def begin(self) -> None:
        """Nothing to prepare."""

    def calls(self) -> None:
        """Not available."""

    def ask(self, shape: Shape) -> Answer:
        where = " AND ".join(["g.deleted_at IS NULL", *(_JOINED_WHERE[name] for name in shape.filters)])
        count = f"SELECT count(*) FROM order_group g WHERE {where}"
        answer = _ask(self._connection, count, _JOINED.format(where, LIMIT, shape.offset), _arguments(shape))
        return replace(answer, ids=None)


def _arguments(shape: Shape) -> list[str]:
    return [argument for name, value in shape.filters.items() for argument in [value] * (2 if name == "q" else 1)]


def _ask(connection: Connection, count: str, page: str, arguments: list[str]) -> Answer:
    started_s = time.perf_counter()
    counted = connection.execute(count.encode(), arguments).fetchone()
    between_s = time.perf_counter()
    rows = connection.execute(page.encode(), arguments).fetchall()
    ended_s = time.perf_counter()
    assert counted is not None, "an aggregate has a row"
    parts = {"count": between_s - started_s, "page": ended_s - between_s}
    return Answer(ended_s - started_s, counted[0], tuple(row[0] for row in rows), parts)
