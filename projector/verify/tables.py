"""The tables of a comparison, in a temporary SQLite file: memory stays flat however large the read model is.

SQLite makes the file in TMPDIR, never syncs it, and deletes it when it is closed. Nothing is ever committed: nothing
reads the file after a crash. It takes about 400 bytes a group, and 150 for each value of an index.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from projector.verify.difference import ABSENT, Difference
from projector.verify.snapshot import Digest, kind

# Page cache of SQLite, in KiB.
CACHE_KIB = 64 * 1024
# Ids in one statement.
IDS_MAX = 500

# The `role` of a generation: the one that is verified, and the one that it is compared with.
SUBJECT, REFERENCE = 0, 1

# Group ids and names are compared as bytes.
_SCHEMA = """
CREATE TABLE expected_group (id TEXT PRIMARY KEY, state BLOB);
CREATE TABLE expected_size (role INTEGER, shard INTEGER, name TEXT, members INTEGER, PRIMARY KEY (role, shard, name))
    WITHOUT ROWID;
CREATE TABLE expected_parked (shard INTEGER, name TEXT, PRIMARY KEY (shard, name)) WITHOUT ROWID;
CREATE TABLE to_count (role INTEGER, shard INTEGER, name TEXT, PRIMARY KEY (role, shard, name)) WITHOUT ROWID;
CREATE TABLE candidate (role INTEGER, shard INTEGER, id TEXT, name TEXT, PRIMARY KEY (role, shard, id, name))
    WITHOUT ROWID;
CREATE TABLE compared (shard INTEGER, id TEXT, digests BLOB, PRIMARY KEY (shard, id)) WITHOUT ROWID;
CREATE TABLE difference (generation INTEGER, shard INTEGER, id TEXT, what TEXT, is_missing INTEGER, details BLOB,
    UNIQUE (generation, shard, id, what));
CREATE INDEX difference_of_set ON difference (generation, shard, what, is_missing);
"""

# Role, shard and name of a set or hash.
SetKey = tuple[int, int, str]
_digests = msgspec.msgpack.Decoder(tuple[Digest, Digest])


class Tables:
    """`details_max`: of so many differences everything is kept, of the others only where they are."""

    def __init__(self, details_max: int) -> None:
        # An empty name: a file of SQLite's own, deleted when it is closed.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._details_max = details_max
        self._totals: Counter[tuple[int, str]] = Counter()
        self.differences = 0
        self._sql.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._sql.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._sql.execute("BEGIN")

    def close(self) -> None:
        self._sql.close()

    # Expected groups and parked records.

    def put_groups(self, states: Iterable[tuple[str, bytes | None]]) -> None:
        sql = "INSERT INTO expected_group VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state"
        self._many(sql, states)

    def states(self, ids: Collection[str]) -> dict[str, bytes]:
        """Returns the states of those ids that are in the table."""
        found: dict[str, bytes] = {}
        remaining = iter(ids)
        while batch := list(islice(remaining, IDS_MAX)):
            marks = ",".join("?" * len(batch))
            found.update(self._sql.execute(f"SELECT id, state FROM expected_group WHERE id IN ({marks})", batch))
        return found

    def batches(self, size: int) -> Iterator[list[str]]:
        """Yields the id of every group once, `size` at a time. No group may be added meanwhile."""
        last = 0
        while rows := self._sql.execute(
            "SELECT rowid, id FROM expected_group WHERE rowid > ? ORDER BY rowid LIMIT ?", (last, size)
        ).fetchall():
            last = rows[-1][0]
            yield [group_id for _, group_id in rows]

    def group_count(self) -> int:
        return int(self._one("SELECT COUNT(*) FROM expected_group"))

    def put_parked(self, records: Iterable[tuple[int, str]]) -> None:
        self._many("INSERT OR IGNORE INTO expected_parked VALUES (?, ?)", records)

    def is_parked(self, shard: int, name: str) -> bool:
        return bool(
            self._one("SELECT EXISTS (SELECT 1 FROM expected_parked WHERE shard = ? AND name = ?)", shard, name)
        )

    def parked(self, shard: int) -> list[str]:
        return self._column("SELECT name FROM expected_parked WHERE shard = ?", shard)

    # Expected sizes of sets and hashes, and which of them are to be counted.

    def add_sizes(self, changes: Mapping[SetKey, int]) -> None:
        for (role, _, name), members in changes.items():
            self._totals[role, kind(name)] += members
        self._many(
            "INSERT INTO expected_size VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET members = members + excluded.members",
            ((*key, members) for key, members in changes.items() if members),
        )

    def sizes(self, role: int, shard: int, names: Collection[str]) -> dict[str, int]:
        """Returns the expected sizes of those names that are in the table. `names`: at most IDS_MAX."""
        marks = ",".join("?" * len(names))
        sql = f"SELECT name, members FROM expected_size WHERE role = ? AND shard = ? AND name IN ({marks})"
        return dict(self._sql.execute(sql, (role, shard, *names)).fetchall())

    def total(self, role: int, kind: str) -> int:
        """Returns the expected members of all sets and shards of that kind."""
        return self._totals[role, kind]

    def put_to_count(self, role: int, sets: Iterable[tuple[int, str]]) -> None:
        """`sets`: shard and name of sets that the generation has or is expected to have."""
        self._many("INSERT OR IGNORE INTO to_count VALUES (?, ?, ?)", ((role, *one) for one in sets))

    def take_to_count(self, role: int, shard: int, limit: int) -> list[str]:
        names = self._column("SELECT name FROM to_count WHERE role = ? AND shard = ? LIMIT ?", role, shard, limit)
        self._many("DELETE FROM to_count WHERE role = ? AND shard = ? AND name = ?", ((role, shard, n) for n in names))
        return names

    # Candidates: groups to compare again, each with indexes that may hold it unexpectedly.

    def put_candidates(self, role: int, candidates: Iterable[tuple[int, str, str]]) -> None:
        """`candidates`: shard, group id, and name of an index or an empty string."""
        self._many("INSERT OR IGNORE INTO candidate VALUES (?, ?, ?, ?)", ((role, *one) for one in candidates))

    def take_candidates(self, role: int, shard: int, limit: int) -> dict[str, set[str]]:
        where = "role = ? AND shard = ?"
        ids = self._column(f"SELECT DISTINCT id FROM candidate WHERE {where} ORDER BY id LIMIT ?", role, shard, limit)
        found = {}
        for group_id in ids:
            names = self._column(f"SELECT name FROM candidate WHERE {where} AND id = ?", role, shard, group_id)
            found[group_id] = {name for name in names if name}
            self._sql.execute(f"DELETE FROM candidate WHERE {where} AND id = ?", (role, shard, group_id))
        return found

    # Results.

    def replace_digests(self, shard: int, group_id: str, digests: tuple[Digest, Digest]) -> tuple[Digest, Digest]:
        """Stores the digests of a group, expected and found. Returns those of its previous comparison."""
        row = self._sql.execute("SELECT digests FROM compared WHERE shard = ? AND id = ?", (shard, group_id)).fetchone()
        encoded = msgspec.msgpack.encode(digests)
        self._sql.execute("INSERT OR REPLACE INTO compared VALUES (?, ?, ?)", (shard, group_id, encoded))
        return _digests.decode(row[0]) if row else (Digest(), Digest())

    def clear_differences(self, generation: int, shard: int, group_id: str) -> None:
        sql = "DELETE FROM difference WHERE generation = ? AND shard = ? AND id = ?"
        self.differences -= self._sql.execute(sql, (generation, shard, group_id)).rowcount

    def put_difference(self, found: Difference) -> None:
        details = msgspec.msgpack.encode(found) if self.differences < self._details_max else None
        row = (found.generation, found.shard, found.group, found.what, found.found == ABSENT, details)
        sql = "INSERT OR IGNORE INTO difference VALUES (?, ?, ?, ?, ?, ?)"
        self.differences += self._sql.execute(sql, row).rowcount

    def differs(self, generation: int, shard: int, name: str) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM difference WHERE generation = ? AND shard = ? AND what = ?)"
        return bool(self._one(sql, generation, shard, name))

    def with_missing_members(self, generation: int, shard: int) -> list[str]:
        """Returns the hashes and sets that lack a group."""
        sql = "SELECT DISTINCT what FROM difference WHERE generation = ? AND shard = ? AND is_missing"
        return self._column(sql, generation, shard)

    def first_differences(self) -> list[Difference]:
        sql = "SELECT details FROM difference WHERE details IS NOT NULL ORDER BY rowid LIMIT ?"
        return [msgspec.msgpack.decode(row, type=Difference) for row in self._column(sql, self._details_max)]

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._sql.executemany(sql, rows)

    def _one(self, sql: str, *arguments: Any) -> Any:
        return self._sql.execute(sql, arguments).fetchone()[0]

    def _column(self, sql: str, *arguments: Any) -> list[Any]:
        return [row[0] for row in self._sql.execute(sql, arguments).fetchall()]
