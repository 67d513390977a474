"""Notes all orders once, in chunks, each once the orders before it are published.

`backfill` only begins it. The relay does the rest, so that it resumes by itself, and few notes are in the database.
"""

from events.sources.database import Connection, quoted, row, rows, run
from events.sources.mapping import Mapping
from events.sources.marks import LOG, read_marks, store_marks, stored_marks
from events.sources.schema import SCHEMA

# How many orders are noted together.
CHUNK = 10_000


def is_backfilling(connection: Connection) -> bool:
    return bool(row(connection, f"SELECT backfilling FROM {SCHEMA}.state")[0])


def orders_after(connection: Connection, mapping: Mapping, after: str | None, count: int) -> list[str]:
    """Returns the next ids of orders, in the order of the column's own type, so that its index is used."""
    orders = mapping.tables[0]
    # Qualified: a plain name after ORDER BY is that of the result, which is sorted as text.
    key = f"orders.{quoted(orders.noted[0])}"
    where, values = (f"{key} > %s", [after]) if after is not None else (f"{key} IS NOT NULL", [])
    query = f"SELECT {key}::text FROM {quoted(orders.name)} orders WHERE {where} ORDER BY {key} LIMIT {count}"
    return [order for (order,) in rows(connection, query, values)]


def begin_backfill(connection: Connection, mapping: Mapping) -> None:
    """Makes the relay note all orders, from the first."""
    if not stored_marks(connection):
        # A later backfill leaves them: it does not find orders that are gone.
        store_marks(connection, read_marks(connection, mapping))
    run(
        connection,
        f"UPDATE {SCHEMA}.state SET backfilling = true, backfilled_to = NULL, backfilled = 0, "
        f"backfill_total = (SELECT count(*) FROM {quoted(mapping.tables[0].name)})",
    )


def begin_backfill_into(connection: Connection, mapping: Mapping, log: str) -> bool:
    """Begins a backfill if the orders were published to another log before. Returns whether it did.

    `log`: the identity of the present one.
    """
    with connection.transaction():
        known = rows(connection, f"SELECT mark FROM {SCHEMA}.marks WHERE place = %s", [LOG])
        run(
            connection,
            f"INSERT INTO {SCHEMA}.marks VALUES (%s, %s) ON CONFLICT (place) DO UPDATE SET mark = EXCLUDED.mark",
            [LOG, log],
        )
        is_another = known not in ([], [(log,)])
        if is_another:
            begin_backfill(connection, mapping)
    return is_another


def note_next(connection: Connection, mapping: Mapping) -> int:
    """Notes the next orders of the backfill, and ends it after the last. Returns how many."""
    with connection.transaction():
        after = row(connection, f"SELECT backfilled_to FROM {SCHEMA}.state FOR UPDATE")[0]
        found = orders_after(connection, mapping, after, CHUNK)
        run(connection, f"INSERT INTO {SCHEMA}.notes (bulk, new) SELECT true, ARRAY[unnest(%s::text[])]", [found])
        run(
            connection,
            f"UPDATE {SCHEMA}.state SET backfilled = backfilled + %s, backfilling = %s, "
            "backfilled_to = coalesce(%s, backfilled_to)",
            [len(found), bool(found), found[-1] if found else None],
        )
    return len(found)
