"""What a comparison notes down: in a temporary SQLite file, so that memory stays flat however much there is to compare.

The file is made in TMPDIR, gone with the process, and never synced; nothing is ever committed, since nobody reads it
after a crash. It takes about 400 bytes a group, and 150 for each value of an index.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from projector.verify.picture import ABSENT, Difference, Digest, kind

# How much of the file is kept in memory, in KiB.
CACHE_KIB = 64 * 1024
# How many ids one statement asks for.
IDS_MAX = 500

# Group ids and names are compared as bytes. `side` 0 is the generation that is verified, 1 what it is compared with.
_SCHEMA = """
CREATE TABLE known (id TEXT PRIMARY KEY, state BLOB);
CREATE TABLE size (side INTEGER, shard INTEGER, name TEXT, members INTEGER, PRIMARY KEY (side, shard, name))
    WITHOUT ROWID;
CREATE TABLE seen (side INTEGER, shard INTEGER, name TEXT, PRIMARY KEY (side, shard, name)) WITHOUT ROWID;
CREATE TABLE parked (shard INTEGER, name TEXT, PRIMARY KEY (shard, name)) WITHOUT ROWID;
CREATE TABLE candidate (side INTEGER, shard INTEGER, id TEXT, name TEXT, PRIMARY KEY (side, shard, id, name))
    WITHOUT ROWID;
CREATE TABLE compared (shard INTEGER, id TEXT, digests BLOB, PRIMARY KEY (shard, id)) WITHOUT ROWID;
CREATE TABLE difference (generation INTEGER, shard INTEGER, id TEXT, what TEXT, lacks INTEGER, told BLOB,
    UNIQUE (generation, shard, id, what));
CREATE INDEX difference_of_set ON difference (generation, shard, what, lacks);
"""

Sized = tuple[int, int, str]
_digests = msgspec.msgpack.Decoder(tuple[Digest, Digest])


class Book:
    """`tell_first`: of how many differences more is kept than where they are."""

    def __init__(self, tell_first: int) -> None:
        # An empty name: a file of SQLite's own, deleted when it is closed.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._tell_first = tell_first
        self._totals: Counter[tuple[int, str]] = Counter()
        self.differences = 0
        self._sql.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._sql.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._sql.execute("BEGIN")

    def close(self) -> None:
        self._sql.close()

    # The groups there ought to be.

    def put(self, states: Iterable[tuple[str, bytes | None]]) -> None:
        self._many("INSERT INTO known VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state", states)

    def states(self, ids: Collection[str]) -> dict[str, bytes]:
        """Of those that are known."""
        found: dict[str, bytes] = {}
        rest = iter(ids)
        while some := list(islice(rest, IDS_MAX)):
            marks = ",".join("?" * len(some))
            found.update(self._sql.execute(f"SELECT id, state FROM known WHERE id IN ({marks})", some))
        return found

    def walk(self, count: int) -> Iterator[list[str]]:
        """Every group once, that many at a time; none may be added meanwhile."""
        last = 0
        while rows := self._sql.execute(
            "SELECT rowid, id FROM known WHERE rowid > ? ORDER BY rowid LIMIT ?", (last, count)
        ).fetchall():
            last = rows[-1][0]
            yield [group_id for _, group_id in rows]

    def groups(self) -> int:
        return int(self._one("SELECT COUNT(*) FROM known"))

    def put_parked(self, records: Iterable[tuple[int, str]]) -> None:
        self._many("INSERT OR IGNORE INTO parked VALUES (?, ?)", records)

    def is_parked(self, shard: int, name: str) -> bool:
        return bool(self._one("SELECT EXISTS (SELECT 1 FROM parked WHERE shard = ? AND name = ?)", shard, name))

    def parked(self, shard: int) -> list[str]:
        return self._column("SELECT name FROM parked WHERE shard = ?", shard)

    # How large each set and hash ought to be.

    def grow(self, sizes: Mapping[Sized, int]) -> None:
        for (side, _, name), members in sizes.items():
            self._totals[side, kind(name)] += members
        self._many(
            "INSERT INTO size VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET members = members + excluded.members",
            ((*sized, members) for sized, members in sizes.items() if members),
        )

    def sizes(self, side: int, shard: int, names: Collection[str]) -> dict[str, int]:
        """Of those that are known, at most IDS_MAX."""
        marks = ",".join("?" * len(names))
        rows = self._sql.execute(
            f"SELECT name, members FROM size WHERE side = ? AND shard = ? AND name IN ({marks})", (side, shard, *names)
        )
        return dict(rows.fetchall())

    def total(self, side: int, kind: str) -> int:
        """Members of all sets and shards of that kind."""
        return self._totals[side, kind]

    def put_seen(self, side: int, sets: Iterable[tuple[int, str]]) -> None:
        """Sets that the generation has, or ought to have."""
        self._many("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", ((side, *one) for one in sets))

    def take_seen(self, side: int, shard: int, count: int) -> list[str]:
        names = self._column("SELECT name FROM seen WHERE side = ? AND shard = ? LIMIT ?", side, shard, count)
        self._many("DELETE FROM seen WHERE side = ? AND shard = ? AND name = ?", ((side, shard, n) for n in names))
        return names

    # The groups that have to be looked at again, each with indexes in which it may be though it ought not.

    def put_candidates(self, side: int, candidates: Iterable[tuple[int, str, str]]) -> None:
        """Shard, group id, name of an index or of nothing."""
        self._many("INSERT OR IGNORE INTO candidate VALUES (?, ?, ?, ?)", ((side, *one) for one in candidates))

    def take_candidates(self, side: int, shard: int, count: int) -> dict[str, set[str]]:
        where = "side = ? AND shard = ?"
        ids = self._column(f"SELECT DISTINCT id FROM candidate WHERE {where} ORDER BY id LIMIT ?", side, shard, count)
        found = {}
        for group_id in ids:
            names = self._column(f"SELECT name FROM candidate WHERE {where} AND id = ?", side, shard, group_id)
            found[group_id] = {name for name in names if name}
            self._sql.execute(f"DELETE FROM candidate WHERE {where} AND id = ?", (side, shard, group_id))
        return found

    # What was found.

    def compared(self, shard: int, group_id: str, digests: tuple[Digest, Digest]) -> tuple[Digest, Digest]:
        """Notes what both sides have of the group, and answers what they had when it was compared before."""
        row = self._sql.execute("SELECT digests FROM compared WHERE shard = ? AND id = ?", (shard, group_id)).fetchone()
        told = msgspec.msgpack.encode(digests)
        self._sql.execute("INSERT OR REPLACE INTO compared VALUES (?, ?, ?)", (shard, group_id, told))
        return _digests.decode(row[0]) if row else (Digest(), Digest())

    def clear_differences(self, generation: int, shard: int, group_id: str) -> None:
        sql = "DELETE FROM difference WHERE generation = ? AND shard = ? AND id = ?"
        self.differences -= self._sql.execute(sql, (generation, shard, group_id)).rowcount

    def put_difference(self, found: Difference) -> None:
        told = msgspec.msgpack.encode(found) if self.differences < self._tell_first else None
        row = (found.generation, found.shard, found.group, found.what, found.found == ABSENT, told)
        self.differences += self._sql.execute(
            "INSERT OR IGNORE INTO difference VALUES (?, ?, ?, ?, ?, ?)", row
        ).rowcount

    def differs(self, generation: int, shard: int, name: str) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM difference WHERE generation = ? AND shard = ? AND what = ?)"
        return bool(self._one(sql, generation, shard, name))

    def lacking(self, generation: int, shard: int) -> list[str]:
        """The hashes and sets that a group is missing from."""
        return self._column(
            "SELECT DISTINCT what FROM difference WHERE generation = ? AND shard = ? AND lacks", generation, shard
        )

    def first(self) -> list[Difference]:
        rows = self._column(
            "SELECT told FROM difference WHERE told IS NOT NULL ORDER BY rowid LIMIT ?", self._tell_first
        )
        return [msgspec.msgpack.decode(row, type=Difference) for row in rows]

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._sql.executemany(sql, rows)

    def _one(self, sql: str, *arguments: Any) -> Any:
        return self._sql.execute(sql, arguments).fetchone()[0]

    def _column(self, sql: str, *arguments: Any) -> list[Any]:
        return [row[0] for row in self._sql.execute(sql, arguments).fetchall()]
