"""What `install` adds to the shop's database: the schema `order_group_source`, and a trigger for each table.

notes   a row for each changed row. `place`: its table. `old`, `new`: the columns that name its orders, before and after
        the change; empty `place`: an order. `bulk`: of a backfill, or of a change of many orders; read after the others
state   one row. `version`: the last that was given to events. `published`: events so far. `backfilling`: whether a
        backfill runs, after the order `backfilled_to`, with `backfilled` of `backfill_total` orders noted
marks   of each table, its mark when the list was known to agree with it, and which log has the orders; see marks.py

The triggers fire ALWAYS, also where a session replicates. A trigger's name contains a digest of its definition.
"""

from hashlib import blake2b
from itertools import chain

from events.errors import BadSource
from events.sources.database import Connection, quoted, rows, run
from events.sources.mapping import Mapping, Table, function_name

SCHEMA = "order_group_source"
# How long `install` and `remove` wait for a lock on a table, while writers wait behind them.
_LOCK_MS = 3_000

_TABLES = f"""\
CREATE SCHEMA IF NOT EXISTS {SCHEMA};

CREATE TABLE IF NOT EXISTS {SCHEMA}.notes (
    bulk boolean NOT NULL DEFAULT false,
    id bigint GENERATED ALWAYS AS IDENTITY,
    place text NOT NULL DEFAULT '',
    old text[],
    new text[],
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bulk, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE IF NOT EXISTS {SCHEMA}.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    digest text NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0,
    backfilling boolean NOT NULL DEFAULT false,
    backfilled_to text,
    backfilled bigint NOT NULL DEFAULT 0,
    backfill_total bigint NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS {SCHEMA}.marks (
    place text PRIMARY KEY,
    mark text NOT NULL
);
"""


# Tables that are no partitions.
_HEIRS = """
SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent
WHERE parent.oid = to_regclass(%s) AND parent.relkind = 'r' ORDER BY 1
"""


def install(connection: Connection, mapping: Mapping) -> list[str]:
    """Installs what is missing, in one transaction. Returns the tables that got a trigger.

    Raises SourceUnavailable, and BadSource for a table whose changes triggers cannot note.
    """
    with connection.transaction():
        run(connection, f"SET LOCAL lock_timeout = {_LOCK_MS}")
        run(connection, _TABLES)
        present = triggers(connection, mapping)
        missing = [table for table in mapping.tables if present.get(table.name) != "A"]
        for table in missing:
            # A function is not checked before it runs, which would fail in a transaction of the shop.
            itself = quoted(table.name)
            if heirs := rows(connection, _HEIRS, [itself]):
                which = ", ".join(heir for (heir,) in heirs)
                raise BadSource(
                    f"{table.name}: expected no tables that inherit from it, whose changes no trigger "
                    f"notes, got {which}"
                )
            run(connection, f"SELECT {_unchanged(table, itself, itself)} FROM {itself} LIMIT 0")
            run(connection, _trigger(table))
        run(connection, _superfluous(mapping))
        run(connection, _state(mapping))
    return [table.name for table in missing]


def script(mapping: Mapping) -> str:
    """Returns all that `install` does to a database without triggers, as SQL."""
    parts = (_TABLES, *map(_trigger, mapping.tables), _state(mapping))
    return "\n".join(("BEGIN;", f"SET LOCAL lock_timeout = {_LOCK_MS};", *parts, "COMMIT;")) + "\n"


def remove(connection: Connection) -> None:
    """Removes triggers, functions and tables."""
    with connection.transaction():
        run(connection, f"SET LOCAL lock_timeout = {_LOCK_MS}")
        # The triggers depend on the functions.
        run(connection, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def is_installed(connection: Connection) -> bool:
    return bool(rows(connection, "SELECT 1 FROM pg_class WHERE oid = to_regclass(%s)", [f"{SCHEMA}.marks"]))


def triggers(connection: Connection, mapping: Mapping) -> dict[str, str]:
    """Returns the tables with their trigger: whether it fires: A always, O not where a session replicates, D never."""
    query = "SELECT %s, tgenabled::text FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s"
    found = [rows(connection, query, [one.name, quoted(one.name), trigger_name(one)]) for one in mapping.tables]
    return dict(chain.from_iterable(found))


def trigger_name(table: Table) -> str:
    return f"{SCHEMA}_{blake2b(_function(table).encode(), digest_size=4).hexdigest()}"


def _trigger(table: Table) -> str:
    name, place = trigger_name(table), quoted(table.name)
    return (
        f"{_function(table)}\n"
        f"CREATE OR REPLACE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {place}\n"
        f"    FOR EACH ROW EXECUTE FUNCTION {_function_name(table)}();\n"
        f"ALTER TABLE {place} ENABLE ALWAYS TRIGGER {name};\n"
    )


def _function_name(table: Table) -> str:
    return f"{SCHEMA}.{quoted(function_name(table.name))}"


def _function(table: Table) -> str:
    """SECURITY DEFINER: a user who may write the table needs no right on the notes, nor on the function."""
    noted = [quoted(column) for column in table.noted]
    old, new = (f"ARRAY[{', '.join(f'{row}.{column}' for column in noted)}]::text[]" for row in ("OLD", "NEW"))
    unchanged = ""
    if table.columns:
        unchanged = (
            f"    IF TG_OP = 'UPDATE' AND {_unchanged(table, 'OLD', 'NEW')} THEN\n        RETURN NULL;\n    END IF;\n"
        )
    return (
        f"CREATE OR REPLACE FUNCTION {_function_name(table)}() RETURNS trigger\n"
        "    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$\n"
        "BEGIN\n"
        f"{unchanged}"
        f"    INSERT INTO {SCHEMA}.notes (place, old, new) VALUES (\n"
        f"        {_literal(table.name)},\n"
        f"        CASE WHEN TG_OP <> 'INSERT' THEN {old} END,\n"
        f"        CASE WHEN TG_OP <> 'DELETE' THEN {new} END\n"
        "    );\n"
        "    RETURN NULL;\n"
        "END $$;\n"
        f"REVOKE ALL ON FUNCTION {_function_name(table)}() FROM PUBLIC;"
    )


def _unchanged(table: Table, old: str, new: str) -> str:
    columns = [*map(quoted, (*table.noted, *table.columns))]
    before, after = (", ".join(f"{row}.{column}" for column in columns) for row in (old, new))
    return f"({before}) IS NOT DISTINCT FROM ({after})"


def _superfluous(mapping: Mapping) -> str:
    """Drops the triggers of an earlier mapping, and of tables that another one has replaced."""
    wanted = ", ".join(f"('{trigger_name(one)}', {_literal(quoted(one.name))}::regclass)" for one in mapping.tables)
    return (
        "DO $$ DECLARE found record; BEGIN\n"
        "    FOR found IN SELECT tgname, tgrelid::regclass AS place FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid\n"
        f"        WHERE pronamespace = '{SCHEMA}'::regnamespace AND tgparentid = 0\n"
        f"        AND (tgname, tgrelid) NOT IN (VALUES {wanted}) LOOP\n"
        "        EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.place);\n"
        "    END LOOP;\n"
        "END $$;"
    )


def _state(mapping: Mapping) -> str:
    return (
        f"INSERT INTO {SCHEMA}.state (digest) VALUES ('{mapping.digest}')\n"
        "    ON CONFLICT (one) DO UPDATE SET digest = EXCLUDED.digest;\n"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
