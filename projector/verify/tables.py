"""The tables of a comparison, in a temporary SQLite file: memory stays flat however large the read model is.

SQLite makes the file in TMPDIR, never syncs it, and deletes it when it is closed. Nothing is ever committed: nothing
reads the file after a crash. It takes about 900 bytes a group, and 50 for each value of an index.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

# Page cache of SQLite, in KiB.
CACHE_KIB = 64 * 1024
# Ids in one statement.
IDS_MAX = 500

# `expected` is of all shards, `set_name` of those of one generation, other tables of the shard that is compared. A
# suspect is an ordinal, with a sorted set or bitmap that may hold it unexpectedly. A candidate is a group to compare
# again, or an ordinal that no group has (its id is empty, then; that of a group is at least one character long).
_SCHEMA = """
CREATE TABLE expected (id TEXT PRIMARY KEY, shard INTEGER, record BLOB, row BLOB, held BLOB);
CREATE TABLE expected_parked (shard INTEGER, name TEXT, PRIMARY KEY (shard, name)) WITHOUT ROWID;
CREATE TABLE found (id TEXT PRIMARY KEY, ordinal INTEGER) WITHOUT ROWID;
CREATE INDEX found_by_ordinal ON found (ordinal);
CREATE TABLE set_name (shard INTEGER, name TEXT, PRIMARY KEY (shard, name)) WITHOUT ROWID;
CREATE TABLE suspect (ordinal INTEGER, name TEXT, PRIMARY KEY (ordinal, name)) WITHOUT ROWID;
CREATE TABLE candidate (id TEXT, ordinal INTEGER, name TEXT, PRIMARY KEY (id, ordinal, name)) WITHOUT ROWID;
"""
_OF_SHARD = ("found", "suspect", "candidate")

# A group id, or the ordinal of none.
Candidate = str | int


class Tables:
    def __init__(self) -> None:
        # An empty name: a file of SQLite's own, deleted when it is closed.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._sql.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._sql.execute("BEGIN")

    def close(self) -> None:
        self._sql.close()

    def begin_generation(self) -> None:
        self._sql.execute("DELETE FROM set_name")

    def begin_shard(self) -> None:
        for table in _OF_SHARD:
            self._sql.execute(f"DELETE FROM {table}")

    # Expected groups and parked records.

    def put_expected(self, groups: Iterable[tuple[str, int, bytes, bytes | None, bytes]]) -> None:
        """`groups`: id, shard, and the others as snapshot.py unpacks them."""
        self._many("INSERT OR REPLACE INTO expected VALUES (?, ?, ?, ?, ?)", groups)

    def expected(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
        """Yields id, record and the others of those ids that are in the table."""
        remaining = iter(ids)
        while batch := list(islice(remaining, IDS_MAX)):
            marks = ",".join("?" * len(batch))
            yield from self._sql.execute(f"SELECT id, record, row, held FROM expected WHERE id IN ({marks})", batch)

    def expected_count(self, shard: int | None = None) -> int:
        return self._one("SELECT COUNT(*) FROM expected WHERE shard = ?1 OR ?1 IS NULL", shard)

    def put_parked(self, records: Iterable[tuple[int, str]]) -> None:
        self._many("INSERT OR IGNORE INTO expected_parked VALUES (?, ?)", records)

    def parked_count(self) -> int:
        return self._one("SELECT COUNT(*) FROM expected_parked")

    def is_parked(self, shard: int, name: str) -> bool:
        return bool(self._one("SELECT COUNT(*) FROM expected_parked WHERE shard = ? AND name = ?", shard, name))

    def parked(self, shard: int) -> list[str]:
        return self._column("SELECT name FROM expected_parked WHERE shard = ?", shard)

    # What the shard has.

    def put_found(self, groups: Iterable[tuple[str, int]]) -> None:
        self._many("INSERT OR REPLACE INTO found VALUES (?, ?)", groups)

    def found(self, start: int, stop: int) -> dict[int, str]:
        """Returns ordinal -> id from `start` on, before `stop`, in order."""
        sql = "SELECT ordinal, id FROM found WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal"
        return dict(self._sql.execute(sql, (start, stop)))

    def largest_below(self, end: int) -> int:
        """Returns the largest ordinal below `end`, or -1."""
        return self._one("SELECT COALESCE(MAX(ordinal), -1) FROM found WHERE ordinal < ?", end)

    def put_misplaced(self, end: int) -> None:
        """Makes candidates of the groups that share an ordinal, or have one from `end` on."""
        self._sql.execute(
            "INSERT OR IGNORE INTO candidate SELECT id, -1, '' FROM found WHERE ordinal >= ? OR ordinal IN "
            "(SELECT ordinal FROM found GROUP BY ordinal HAVING COUNT(*) > 1)",
            (end,),
        )

    def is_shared(self, ordinal: int) -> bool:
        return self._one("SELECT COUNT(*) FROM found WHERE ordinal = ?", ordinal) > 1

    def put_missing(self, shard: int) -> None:
        """Makes candidates of the groups that are expected in the shard, and that it has not."""
        self._sql.execute(
            "INSERT OR IGNORE INTO candidate SELECT id, -1, '' FROM expected "
            "WHERE shard = ? AND id NOT IN (SELECT id FROM found)",
            (shard,),
        )

    def put_set_name(self, shard: int, name: str) -> None:
        self._sql.execute("INSERT OR IGNORE INTO set_name VALUES (?, ?)", (shard, name))

    def set_count(self, shard: int) -> int:
        return self._one("SELECT COUNT(*) FROM set_name WHERE shard = ?", shard)

    def set_names(self, shard: int, size: int) -> Iterator[list[str]]:
        """Yields all of them, `size` at a time."""
        last, sql = "", "SELECT name FROM set_name WHERE shard = ? AND name > ? ORDER BY name LIMIT ?"
        while names := self._column(sql, shard, last, size):
            last = names[-1]
            yield names

    def values(self, shard: int, field: str) -> set[bytes]:
        """Returns the values of which there is a sorted set."""
        first = f"of:{field}:"
        # The next character after the colon ends what begins with it.
        sql = "SELECT name FROM set_name WHERE shard = ? AND name >= ? AND name < ?"
        return {name.removeprefix(first).encode() for name in self._column(sql, shard, first, f"of:{field};")}

    # Suspects and candidates.

    def put_suspects(self, suspects: Iterable[tuple[int, str]]) -> None:
        """`suspects`: ordinal, and name of a sorted set or bitmap, or an empty string."""
        self._many("INSERT OR IGNORE INTO suspect VALUES (?, ?)", suspects)

    def has_strangers(self) -> bool:
        """Returns whether no group is known of some suspect."""
        sql = "SELECT EXISTS (SELECT 1 FROM suspect WHERE ordinal NOT IN (SELECT ordinal FROM found))"
        return bool(self._one(sql))

    def suspects_to_candidates(self) -> None:
        self._sql.execute(
            "INSERT OR IGNORE INTO candidate SELECT COALESCE(found.id, ''), "
            "CASE WHEN found.id IS NULL THEN suspect.ordinal ELSE -1 END, name "
            "FROM suspect LEFT JOIN found ON found.ordinal = suspect.ordinal"
        )
        self._sql.execute("DELETE FROM suspect")

    def put_candidates(self, ids: Iterable[str]) -> None:
        self._many("INSERT OR IGNORE INTO candidate VALUES (?, -1, '')", ((group_id,) for group_id in ids))

    def candidate_count(self) -> int:
        return self._one("SELECT COUNT(*) FROM (SELECT DISTINCT id, ordinal FROM candidate)")

    def take_candidates(self, limit: int) -> dict[Candidate, set[str]]:
        """Removes some, and returns them with the sorted sets and bitmaps that may hold them unexpectedly."""
        taken: dict[Candidate, set[str]] = {}
        some = self._sql.execute("SELECT DISTINCT id, ordinal FROM candidate LIMIT ?", (limit,)).fetchall()
        for row in some:
            names = self._column("SELECT name FROM candidate WHERE id = ? AND ordinal = ?", *row)
            taken[row[0] or row[1]] = {name for name in names if name}
            self._sql.execute("DELETE FROM candidate WHERE id = ? AND ordinal = ?", row)
        return taken

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._sql.executemany(sql, rows)

    def _one(self, sql: str, *arguments: Any) -> int:
        return int(self._sql.execute(sql, arguments).fetchone()[0])

    def _column(self, sql: str, *arguments: Any) -> list[Any]:
        return [row[0] for row in self._sql.execute(sql, arguments).fetchall()]
