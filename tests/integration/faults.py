"""Injects faults into a generation with plain Redis commands. Each fault can be undone."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests import oracle, stored
from tests.readmodel import shard_of

PARTS = ("record", "row", "text")
HEAD = stored.HEAD_BYTES


class Fault(NamedTuple):
    """`places`: group, and hash, sorted set or bitmap, of each expected difference. `undo` removes the fault."""

    kind: str
    places: set[tuple[str, str]]
    undo: Callable[[], object]


class FaultInjector:
    """`client`: of one Redis or of a cluster. `documents`: group id -> its document, as tests/oracle.py has it."""

    def __init__(self, client: Any, number: int, shards: int, documents: dict[str, Any], rng: random.Random) -> None:
        self._client = client
        self._number = number
        self._shards = shards
        self._documents = documents
        self._rng = rng
        self._ids = sorted(documents)
        self._kinds: tuple[Callable[[], Fault], ...] = (
            self.byte, self.byte, self.byte, self.missing_member, self.missing_member, self.surplus_member,
            self.wrong_score, self.surplus_group, self.missing_part, self.missing_set, self.new_set, self.swapped,
            self.odd_member, self.head, self.no_created, self.leftover,
        )  # fmt: skip
        self._left: list[Callable[[], Fault]] = []

    def inject(self) -> Fault:
        """Injects a fault. Each kind is used once before any is repeated."""
        if not self._left:
            self._left = self._rng.sample(self._kinds, len(self._kinds))
        return self._left.pop()()

    def key(self, group_id: str, name: str) -> str:
        return f"og:{{{self._number}.{shard_of(group_id, self._shards)}}}:{name}"

    def member(self, group_id: str) -> bytes:
        member: bytes = self._client.hget(self.key(group_id, "ordinal"), group_id)
        return member

    def part(self, group_id: str, name: str) -> bytes:
        if name == "text":
            lines, index, _ = self._lines(group_id)
            return lines[index]
        value: bytes = self._client.hget(self.key(group_id, name), self.member(group_id))
        return value

    def set_part(self, group_id: str, name: str, value: bytes) -> None:
        if name == "text":
            lines, index, chunk = self._lines(group_id)
            lines[index] = value
            self._client.hset(self.key(group_id, "text"), chunk, b"".join(line + b"\xff" for line in lines))
        else:
            self._client.hset(self.key(group_id, name), self.member(group_id), value)

    def _lines(self, group_id: str) -> tuple[list[bytes], int, int]:
        """Returns the lines of the group's chunk, the index of its own line, and the number of the chunk."""
        chunk, place = divmod(self.ordinal(group_id), stored.LINES)
        lines = self._client.hget(self.key(group_id, "text"), chunk) or b"\xff" * stored.LINES
        return lines[:-1].split(b"\xff"), place, chunk

    def byte(self) -> Fault:
        group_id, part = self.random_id(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        return self._byte_at("byte", group_id, part, self._rng.randrange(len(value)))

    def head(self) -> Fault:
        """A head that differs from the JSON."""
        return self._byte_at("head", self.random_id(), "row", self._rng.randrange(HEAD))

    def _byte_at(self, kind: str, group_id: str, part: str, at: int) -> Fault:
        value = self.part(group_id, part)
        bits = [bit for bit in range(8) if part != "text" or value[at] ^ 1 << bit != 0xFF]
        other = value[:at] + bytes([value[at] ^ 1 << self._rng.choice(bits)]) + value[at + 1 :]
        self.set_part(group_id, part, other)
        return Fault(kind, {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def missing_part(self) -> Fault:
        group_id, part = self.random_id(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        if part == "text":
            self.set_part(group_id, part, b"")
        else:
            self._client.hdel(self.key(group_id, part), self.member(group_id))
        return Fault("missing part", {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def missing_member(self) -> Fault:
        group_id = self.random_id()
        index = self._rng.choice(self.indexes(group_id))
        key, member = self.key(group_id, index), self.member(group_id)
        score = self._client.zscore(key, member)
        self._client.zrem(key, member)
        return Fault("missing member", {(group_id, index)}, lambda: self._client.zadd(key, {member: score}))

    def no_created(self) -> Fault:
        """`by:created_at` is gone."""
        key = self.key(self.random_id(), "by:created_at")
        return self._no_set("no created_at", key, "by:created_at")

    def wrong_score(self) -> Fault:
        group_id = self.random_id()
        index = self._rng.choice(self.indexes(group_id))
        key, member = self.key(group_id, index), self.member(group_id)
        score = self._client.zscore(key, member)
        self._client.zadd(key, {member: score + self._rng.choice((1, -1, 0.5))})
        return Fault("wrong score", {(group_id, index)}, lambda: self._client.zadd(key, {member: score}))

    def surplus_member(self) -> Fault:
        """A known group in an existing set, or an ordinal that no group has."""
        one = self.random_id()
        index = self._rng.choice(self.indexes(one))
        key = self.key(one, index)
        others = [i for i in self._ids if index not in self.indexes(i) and self.key(i, index) == key]
        group_id = self._rng.choice([*others, ""])
        member = self.member(group_id) if group_id else stored.member(self.unused_ordinal(key))
        self._client.zadd(key, {member: 1.5})
        return Fault("surplus member", {(group_id, index)}, lambda: self._client.zrem(key, member))

    def odd_member(self) -> Fault:
        """A member that is no ordinal: a group id, as in older versions."""
        one = self.random_id()
        index = self._rng.choice(self.indexes(one))
        key = self.key(one, index)
        self._client.zadd(key, {one: 1.5})
        return Fault("odd member", {(one, index)}, lambda: self._client.zrem(key, one))

    def swapped(self) -> Fault:
        """One member missing, one unexpected: the set has the expected size."""
        one = self.random_id()
        index = self._rng.choice(self.indexes(one))
        key, member = self.key(one, index), self.member(one)
        score = self._client.zscore(key, member)
        other = stored.member(self.unused_ordinal(key))
        self._client.zrem(key, member)
        self._client.zadd(key, {other: score})

        def undo() -> None:
            self._client.zadd(key, {member: score})
            self._client.zrem(key, other)

        return Fault("swapped", {(one, index), ("", index)}, undo)

    def surplus_group(self) -> Fault:
        """A group that the log has not, with some of its parts; or parts of an ordinal that no group has."""
        group_id = f"og_surplus_{self._rng.randrange(1000)}"
        key = self.key(group_id, "ordinal")
        member = stored.member(self.unused_ordinal(key, above=0))
        parts = self._rng.choice((("record",), ("row",), ("record", "row")))
        names = {part: self.key(group_id, part) for part in parts}
        for name in names.values():
            self._client.hset(name, member, b'{"id":1}')
        named = group_id if self._rng.random() < 0.5 else ""
        if named:
            self._client.hset(key, group_id, member)
        places = {(named, part) for part in (*parts, *(["ordinal"] if named else []))}

        def undo() -> None:
            self._client.hdel(key, group_id)
            for name in names.values():
                self._client.hdel(name, member)

        return Fault("surplus group", places, undo)

    def missing_set(self) -> Fault:
        one = self.random_id()
        index = self._rng.choice([name for name in self.indexes(one) if name.startswith("of:")])
        return self._no_set("missing set", self.key(one, index), index)

    def _no_set(self, kind: str, key: str, index: str) -> Fault:
        members = dict(self._client.zrange(key, 0, -1, withscores=True))
        self._client.delete(key)
        places = {(i, index) for i in self._ids if index in self.indexes(i) and self.key(i, index) == key}
        return Fault(kind, places, lambda: self._client.zadd(key, members))

    def new_set(self) -> Fault:
        group_id = self.random_id()
        index = self._rng.choice(("of:status:made up", "of:customer_id:nobody: at all", "of:seller_id:"))
        key = self.key(group_id, index)
        self._client.zadd(key, {self.member(group_id): 5})
        return Fault("new set", {(group_id, index)}, lambda: self._client.delete(key))

    def leftover(self) -> Fault:
        """A key of an older version, or one that no shard has."""
        name = self._rng.choice(("by:total", "bits:by:id:3", "bits:by:seller_count:11", "edited", "rest", "of"))
        key = self.key(self.random_id(), name)
        self._client.set(key, "x")
        return Fault("leftover", {("", name)}, lambda: self._client.delete(key))

    def ordinal(self, group_id: str) -> int:
        return stored.ordinal(self.member(group_id))

    def unused_ordinal(self, key: str, above: int = 40) -> int:
        """Returns an ordinal that no group has, in the shard of a key: a hole, or `above` those reserved."""
        prefix = key.partition("}:")[0] + "}:"
        used = {stored.ordinal(member) for member in self._client.hvals(prefix + "ordinal")}
        reserved = int(self._client.get(prefix + "ordinals"))
        return self._rng.choice([one for one in range(reserved + above) if one not in used])

    def indexes(self, group_id: str) -> list[str]:
        return oracle.indexes(self._documents[group_id])

    def random_id(self) -> str:
        return self._rng.choice(self._ids)
