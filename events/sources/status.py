"""What waits in the shop's database, and what may be missing."""

from time import monotonic, sleep

from msgspec import Struct

from events.sources.database import Connection, row, rows
from events.sources.mapping import Mapping
from events.sources.marks import problems
from events.sources.schema import SCHEMA, is_installed
from events.sources.watch import Backlog

# The number of the working relay's advisory lock. No other program of the database may use it.
LOCK = 0x6F67_736F_7572_6365


class Backfill(Struct, frozen=True):
    """`published`: orders that were noted and whose notes are gone."""

    running: bool = False
    published: int = 0
    orders: int = 0


class Status(Struct, frozen=True):
    """`works`: whether a relay has the lock. `published`: events since `install`. `rate`: events/s just now.

    `problems`: why the list may lack changes, and what to do.
    """

    mapping: str
    installed: bool
    problems: list[str]
    works: bool = False
    notes: int = 0
    bulk_notes: int = 0
    oldest_s: float = 0.0
    published: int = 0
    rate: float = 0.0
    backfill: Backfill = Backfill()


def read_status(connection: Connection, mapping: Mapping, interval_s: float) -> Status:
    """Takes `interval_s` seconds, over which the rate is measured."""
    found = problems(connection, mapping)
    if not is_installed(connection):
        return Status(mapping.name, False, found)
    before, start_s = _published(connection), monotonic()
    sleep(interval_s)
    published, elapsed_s = _published(connection), monotonic() - start_s
    waiting = backlog(connection)
    works = is_at_work(connection)
    if not works:
        found.append("no relay works: run `projector source run`")
    return Status(
        mapping.name,
        True,
        found,
        works,
        waiting.notes,
        waiting.bulk,
        round(waiting.oldest_s, 3),
        published,
        round((published - before) / elapsed_s, 1) if interval_s else 0.0,
        read_backfill(connection),
    )


def backlog(connection: Connection) -> Backlog:
    counts = dict(rows(connection, f"SELECT bulk, count(*) FROM {SCHEMA}.notes GROUP BY bulk"))
    oldest_s = row(
        connection,
        f"SELECT coalesce(extract(epoch FROM clock_timestamp() - min(noted_at)), 0) FROM {SCHEMA}.notes WHERE NOT bulk",
    )[0]
    return Backlog(counts.get(False, 0), counts.get(True, 0), max(float(oldest_s), 0.0))


def read_backfill(connection: Connection) -> Backfill:
    running, noted, orders = row(connection, f"SELECT backfilling, backfilled, backfill_total FROM {SCHEMA}.state")
    waiting = backlog(connection).bulk
    return Backfill(running or (waiting > 0 and noted > 0), max(noted - waiting, 0), orders)


def is_at_work(connection: Connection) -> bool:
    """Whether a relay has the lock."""
    return bool(
        rows(
            connection,
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid::bigint = %s "
            "AND objid::bigint = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCK >> 32, LOCK & 0xFFFF_FFFF],
        )
    )


def _published(connection: Connection) -> int:
    return int(row(connection, f"SELECT published FROM {SCHEMA}.state")[0])
