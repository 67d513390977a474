"""Faults planted into a generation with plain commands, each of which can be taken back."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.readmodel import shard_of

BY = ("created_at", "updated_at", "total", "seller_count", "display_id", "id")
PARTS = ("row", "rest", "text", "state")


class Plant(NamedTuple):
    """`places`: group and hash or index of each difference that must be found, and no other. `undo` takes it back."""

    kind: str
    places: set[tuple[str, str]]
    undo: Callable[[], object]


class Garden:
    """`client`: of one Redis or of a cluster. `documents`: group id -> its document, as tests/oracle.py has it."""

    def __init__(self, client: Any, number: int, shards: int, documents: dict[str, Any], rng: random.Random) -> None:
        self._client = client
        self._number = number
        self._shards = shards
        self._documents = documents
        self._rng = rng
        self._ids = sorted(documents)
        self._kinds = (
            self.byte, self.byte, self.byte, self.missing_member, self.missing_member, self.surplus_member,
            self.wrong_score, self.surplus_group, self.missing_part, self.missing_set, self.new_set, self.swapped,
        )  # fmt: skip
        self._left: list[Callable[[], Plant]] = []

    def plant(self) -> Plant:
        """One of each kind before any comes again."""
        if not self._left:
            self._left = self._rng.sample(self._kinds, len(self._kinds))
        return self._left.pop()()

    def key(self, group_id: str, name: str) -> str:
        return f"og:{{{self._number}.{shard_of(group_id, self._shards)}}}:{name}"

    def byte(self) -> Plant:
        group_id, part = self._any(), self._rng.choice(PARTS)
        key = self.key(group_id, part)
        value = self._client.hget(key, group_id)
        at = self._rng.randrange(len(value))
        other = value[:at] + bytes([value[at] ^ 1 << self._rng.randrange(8)]) + value[at + 1 :]
        self._client.hset(key, group_id, other)
        return Plant("byte", {(group_id, part)}, lambda: self._client.hset(key, group_id, value))

    def missing_part(self) -> Plant:
        group_id, part = self._any(), self._rng.choice(PARTS)
        key = self.key(group_id, part)
        value = self._client.hget(key, group_id)
        self._client.hdel(key, group_id)
        return Plant("missing part", {(group_id, part)}, lambda: self._client.hset(key, group_id, value))

    def missing_member(self) -> Plant:
        group_id = self._any()
        index = self._rng.choice(self.indexes(group_id))
        key = self.key(group_id, index)
        score = self._client.zscore(key, group_id)
        self._client.zrem(key, group_id)
        return Plant("missing member", {(group_id, index)}, lambda: self._client.zadd(key, {group_id: score}))

    def wrong_score(self) -> Plant:
        group_id = self._any()
        index = self._rng.choice(self.indexes(group_id))
        key = self.key(group_id, index)
        score = self._client.zscore(key, group_id)
        self._client.zadd(key, {group_id: 17.5 if score == float("inf") else score + 1})
        return Plant("wrong score", {(group_id, index)}, lambda: self._client.zadd(key, {group_id: score}))

    def surplus_member(self) -> Plant:
        """Of a group that there is, or is not, in a set that there is."""
        one = self._any()
        index = self._rng.choice(self.indexes(one))
        strangers = [group_id for group_id in self._ids if index not in self.indexes(group_id)]
        group_id = self._rng.choice([*strangers, "og_stranger"])
        key = self.key(group_id, index)
        self._client.zadd(key, {group_id: 1.5})
        return Plant("surplus member", {(group_id, index)}, lambda: self._client.zrem(key, group_id))

    def swapped(self) -> Plant:
        """One missing, one too many: the set is as large as it should be."""
        one = self._any()
        index = self._rng.choice(self.indexes(one))
        key = self.key(one, index)
        score = self._client.zscore(key, one)
        other = next(f"og_other_{n}" for n in range(1000) if self.key(f"og_other_{n}", index) == key)
        self._client.zrem(key, one)
        self._client.zadd(key, {other: score})

        def undo() -> None:
            self._client.zadd(key, {one: score})
            self._client.zrem(key, other)

        return Plant("swapped", {(one, index), (other, index)}, undo)

    def surplus_group(self) -> Plant:
        group_id = f"og_surplus_{self._rng.randrange(1000)}"
        names = ("row", "rest", "text", "state") if self._rng.random() < 0.5 else (self._rng.choice(PARTS),)
        for name in names:
            self._client.hset(self.key(group_id, name), group_id, b'{"id":1}')
        places = {(group_id, name) for name in names}
        return Plant(
            "surplus group", places, lambda: [self._client.hdel(self.key(group_id, n), group_id) for n in names]
        )

    def missing_set(self) -> Plant:
        index = self._rng.choice([name for name in self.indexes(self._any()) if name.startswith("of:")])
        one = next(group_id for group_id in self._ids if index in self.indexes(group_id))
        key = self.key(one, index)
        members = dict(self._client.zrange(key, 0, -1, withscores=True))
        self._client.delete(key)
        places = {(member.decode(), index) for member in members}
        return Plant("missing set", places, lambda: self._client.zadd(key, members))

    def new_set(self) -> Plant:
        group_id = self._any()
        index = self._rng.choice(("of:status:made up", "of:customer_id:nobody: at all", "of:seller_id:"))
        key = self.key(group_id, index)
        self._client.zadd(key, {group_id: 5})
        return Plant("new set", {(group_id, index)}, lambda: self._client.delete(key))

    def indexes(self, group_id: str) -> list[str]:
        document = self._documents[group_id]
        values = {
            "customer_id": [document["customer_id"]], "seller_id": document["seller_ids"],
            "status": document["statuses"], "sales_channel_id": document["sales_channel_ids"],
        }  # fmt: skip
        of = [f"of:{field}:{value}" for field, members in values.items() for value in members if value]
        return [*(f"by:{field}" for field in BY), *of]

    def _any(self) -> str:
        return self._rng.choice(self._ids)
