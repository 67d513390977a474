"""Whether the triggers saw every change of their tables.

The mark of a table changes whenever its triggers may have been bypassed: its object id (a table that was restored), its
file (TRUNCATE; also VACUUM FULL and CLUSTER, which lose nothing), the row of its trigger in the catalogue (dropped,
disabled, enabled again), all that of each partition (also of one that was attached, or detached), and the server's
timeline (a standby took over, or a backup was restored to a point in time).
The marks are stored at the beginning of the first backfill, and by `check` when the list agrees with the tables.
"""

from collections.abc import Mapping as Mapped

from events.sources.database import Connection, quoted, row, rows, run
from events.sources.mapping import Mapping
from events.sources.schema import SCHEMA, is_installed, trigger_name, triggers

Marks = Mapped[str, str]

# In place of a table: the identity of the log to which the orders are published.
LOG = ""

_CHECK = "run `projector source check --note`"
_INSTALL = f"run `projector source install`, then {_CHECK[4:]}"


def read_marks(connection: Connection, mapping: Mapping) -> Marks:
    """Returns the mark of each table as it is now."""
    timeline = row(connection, "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")[0]
    found = {}
    for table in mapping.tables:
        parts = rows(
            connection,
            "SELECT concat_ws(':', c.oid, c.relfilenode, t.oid, t.tgenabled, t.xmin) FROM pg_class c "
            "LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = %s "
            "WHERE c.oid = to_regclass(%s) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%s))) "
            "ORDER BY c.oid",
            [trigger_name(table), *2 * [quoted(table.name)]],
        )
        found[table.name] = f"{timeline}:{' '.join(part for (part,) in parts) or 'no table'}"
    return found


def store_marks(connection: Connection, marks: Marks) -> None:
    """Stores the marks, as read before the list was compared."""
    with connection.transaction():
        run(connection, f"DELETE FROM {SCHEMA}.marks WHERE place <> %s", [LOG])
        run(
            connection,
            f"INSERT INTO {SCHEMA}.marks SELECT * FROM unnest(%s::text[], %s::text[])",
            [list(marks), list(marks.values())],
        )


def stored_marks(connection: Connection) -> Marks:
    return dict(rows(connection, f"SELECT place, mark FROM {SCHEMA}.marks WHERE place <> %s", [LOG]))


def problems(connection: Connection, mapping: Mapping) -> list[str]:
    """Returns what may have kept a change from being noted, each with its remedy."""
    if not is_installed(connection):
        return ["nothing is installed: run `projector source install`, then `projector source backfill`"]
    if row(connection, f"SELECT digest FROM {SCHEMA}.state")[0] != mapping.digest:
        return [f"the triggers are of another mapping: {_INSTALL}"]
    found = []
    present, marks = triggers(connection, mapping), read_marks(connection, mapping)
    stored = stored_marks(connection)
    for table in mapping.tables:
        match present.get(table.name):
            case None:
                found.append(f"{table.name}: its trigger is missing: {_INSTALL}")
            case "A":
                if stored and stored.get(table.name) != marks[table.name]:
                    found.append(f"{table.name}: its trigger may have been bypassed (TRUNCATE, a restore): {_CHECK}")
            case _:
                found.append(f"{table.name}: its trigger is disabled: {_INSTALL}")
    if not stored:
        found.append("not all orders are published: run `projector source backfill`")
    return found
