"""Reads, expands and deletes notes."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from events.sources.database import Connection, rows, run
from events.sources.mapping import Mapping, Table
from events.sources.schema import SCHEMA

# How many notes are read together, and how many orders one read snapshot has at most through tables with a `key`.
BATCH = 1_000

Pair = tuple[str, str]


class Note(Struct, frozen=True, gc=False):
    bulk: bool
    id: int
    place: str
    old: list[str | None] | None
    new: list[str | None] | None

    @property
    def keys(self) -> list[list[str | None]]:
        """The noted columns before and after the change, where there was a row."""
        return [key for key in (self.old, self.new) if key is not None]


class Noted(Struct, frozen=True):
    """What notes stand for. `done`: the notes that this covers. `broad`: notes with too many orders for one batch.
    Notes in neither wait for the next batch.
    """

    orders: set[str]
    pairs: set[Pair]
    done: list[Note]
    broad: list[Note]


def read_notes(connection: Connection) -> list[Note]:
    """Returns the oldest notes; those of bulk work after all others."""
    found = rows(
        connection, f"SELECT bulk, id, place, old, new FROM {SCHEMA}.notes ORDER BY bulk, id LIMIT %s", [BATCH]
    )
    return [Note(*columns) for columns in found]


def orders_of(connection: Connection, mapping: Mapping, notes: Sequence[Note]) -> Noted:
    """Call it in the transaction that reads the orders."""
    noted = Noted(set(), set(), [], [])
    by_key: dict[str, list[Note]] = {}
    for note in notes:
        table = mapping.table(note.place)
        if table is not None and table.key:
            by_key.setdefault(table.name, []).append(note)
            continue
        noted.done.append(note)
        for order, *group in note.keys:
            if order is not None:
                noted.orders.add(order)
                noted.pairs.update((order, one) for one in group if one is not None)
    for place, waiting in by_key.items():
        table = mapping.table(place)
        assert table is not None, "the notes were sorted by tables of the mapping"
        while len(found := _found(connection, table, waiting)) > BATCH and len(waiting) > 1:
            waiting = waiting[: len(waiting) // 2]
        if len(found) > BATCH:
            noted.broad.extend(waiting)
        else:
            noted.orders.update(found)
            noted.done.extend(waiting)
    return noted


def _found(connection: Connection, table: Table, notes: Sequence[Note]) -> list[str]:
    """Returns the orders of a table's notes, and at most one more than fit into a batch."""
    query = f"SELECT DISTINCT found.id::text FROM ({table.orders}) found(id) WHERE id IS NOT NULL LIMIT {BATCH + 1}"
    return [order for (order,) in rows(connection, query, [_keys(notes)])]


def spread(connection: Connection, mapping: Mapping, broad: Iterable[Note]) -> None:
    """Replaces each note by one for each of its orders, which the server finds and writes itself."""
    for note in broad:
        table = mapping.table(note.place)
        assert table is not None, "a broad note is of a table with a key"
        with connection.transaction():
            if delete_notes(connection, [note]):
                run(
                    connection,
                    f"INSERT INTO {SCHEMA}.notes (bulk, new) SELECT true, ARRAY[found.id::text] "
                    f"FROM (SELECT DISTINCT * FROM ({table.orders}) inside) found(id)",
                    [_keys([note])],
                )


def delete_notes(connection: Connection, notes: Sequence[Note]) -> int:
    """Deletes exactly these. Returns how many there were."""
    return run(
        connection,
        f"DELETE FROM {SCHEMA}.notes USING unnest(%s::boolean[], %s::bigint[]) AS done(bulk, id) "
        "WHERE notes.bulk = done.bulk AND notes.id = done.id",
        [[note.bulk for note in notes], [note.id for note in notes]],
    )


def note_pairs(connection: Connection, pairs: Sequence[Pair]) -> None:
    """Notes orders, each with a group in which it is, or was."""
    run(
        connection,
        f"INSERT INTO {SCHEMA}.notes (new) SELECT ARRAY[o, g] FROM unnest(%s::text[], %s::text[]) pair(o, g)",
        [[order for order, _ in pairs], [group for _, group in pairs]],
    )


def _keys(notes: Iterable[Note]) -> list[str]:
    return sorted({key[0] for note in notes for key in note.keys if key[0] is not None})
