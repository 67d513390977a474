"""Faults planted into a generation with plain commands, each of which can be taken back."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests import buckets, oracle
from tests.fields import SORT_FIELDS
from tests.readmodel import shard_of

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
        self._kinds: tuple[Callable[[], Plant], ...] = (
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

    def part(self, group_id: str, name: str) -> bytes:
        if name == "text":
            lines, place, _ = self._lines(group_id)
            return lines[place]
        value: bytes = self._client.hget(self.key(group_id, name), group_id)
        return value

    def set_part(self, group_id: str, name: str, value: bytes) -> None:
        if name == "text":
            lines, lines_place, chunk = self._lines(group_id)
            lines[lines_place] = value
            self._client.hset(self.key(group_id, "text"), chunk, b"".join(line + b"\xff" for line in lines))
        else:
            self._client.hset(self.key(group_id, name), group_id, value)

    def _lines(self, group_id: str) -> tuple[list[bytes], int, int]:
        """Those of its chunk, which of them is its own, and the number of the chunk."""
        chunk, place = divmod(self._ordinal(group_id), 128)
        return self._client.hget(self.key(group_id, "text"), chunk)[:-1].split(b"\xff"), place, chunk

    def byte(self) -> Plant:
        group_id, part = self._any(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        at = self._rng.randrange(len(value))
        bits = [bit for bit in range(8) if part != "text" or value[at] ^ 1 << bit != 0xFF]
        other = value[:at] + bytes([value[at] ^ 1 << self._rng.choice(bits)]) + value[at + 1 :]
        self.set_part(group_id, part, other)
        return Plant("byte", {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def missing_part(self) -> Plant:
        group_id, part = self._any(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        if part == "text":
            self.set_part(group_id, part, b"")
        else:
            self._client.hdel(self.key(group_id, part), group_id)
        return Plant("missing part", {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def surplus_line(self) -> Plant:
        """Behind the last one."""
        key = self.key(self._any(), "text")
        chunk = self._client.hlen(key) - 1
        before = self._client.hget(key, chunk)
        self._client.hset(key, chunk, before + b"og_nobody\xfe\xff")

        def undo() -> None:
            self._client.hset(key, chunk, self._client.hget(key, chunk).removesuffix(b"og_nobody\xfe\xff"))

        return Plant("surplus_line", {("", "text")}, undo)

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
        names: tuple[str, ...] = ("row", "rest", "state")
        if self._rng.random() < 0.5:
            names = (self._rng.choice(names),)
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

    def _ordinal(self, group_id: str) -> int:
        return int(self._client.zscore(self.key(group_id, "ordinal"), group_id))

    def indexes(self, group_id: str) -> list[str]:
        document = self._documents[group_id]
        values = {
            "customer_id": [document["customer_id"]], "seller_id": document["seller_ids"],
            "status": document["statuses"], "sales_channel_id": document["sales_channel_ids"],
        }  # fmt: skip
        of = [f"of:{field}:{value}" for field, members in values.items() for value in members if value]
        return [*(f"by:{field}" for field in SORT_FIELDS), *of]

    def _any(self) -> str:
        return self._rng.choice(self._ids)


class Flips(Garden):
    """Faults of bitmaps and ordinals. `unlisted`: groups with an ordinal that are in no set."""

    def __init__(
        self, client: Any, number: int, shards: int, documents: dict[str, Any], rng: random.Random, unlisted: list[str]
    ) -> None:
        super().__init__(client, number, shards, documents, rng)
        self._unlisted = unlisted
        self.flips: tuple[Callable[[], Plant], ...] = (
            self.all_of_listed, self.all_of_unlisted, self.all_of_nobody, self.slice_of, self.slice_of_id,
            self.value_of_member, self.value_of_another, self.value_of_nobody, self.missing_ordinal,
            self.doubled_ordinal, self.bad_ordinal, self.ordinal_of_a_stranger, self.surplus_line,
            self.line_of_unlisted,
        )  # fmt: skip
        self._kinds = self.flips

    def all_of_listed(self) -> Plant:
        return self._flip("all_of_listed", self._any(), "bits:all")

    def all_of_unlisted(self) -> Plant:
        return self._flip("all_of_unlisted", self._rng.choice(self._unlisted), "bits:all")

    def line_of_unlisted(self) -> Plant:
        group_id = self._rng.choice(self._unlisted)
        self.set_part(group_id, "text", b"og_1\xfe")
        return Plant("line_of_unlisted", {(group_id, "text")}, lambda: self.set_part(group_id, "text", b""))

    def all_of_nobody(self) -> Plant:
        key = self.key(self._any(), "bits:all")
        return self._flip_at("all_of_nobody", key, self._beyond(key), ("", "bits:all"))

    def slice_of(self, field: str = "") -> Plant:
        group_id = self._any() if field or not self._unlisted else self._rng.choice((self._any(), *self._unlisted))
        field = field or self._rng.choice(list(buckets.SLICES))
        name = f"bits:by:{field}"
        k = self._rng.randrange(buckets.SLICES[field])
        return self._flip_at("slice_of", self.key(group_id, f"{name}:{k}"), self._ordinal(group_id), (group_id, name))

    def slice_of_id(self) -> Plant:
        group_id = self._rng.choice((self._any(), *self._unlisted))
        key = self.key(group_id, f"bits:by:id:{self._rng.randrange(8 * buckets.ID_BYTES)}")
        return self._flip_at("slice_of_id", key, self._ordinal(group_id), (group_id, "bits:by:id"))

    def value_of_member(self) -> Plant:
        name, prefix = self._bitmap()
        members = [member.decode() for member in self._client.zrange(prefix + name.removeprefix("bits:"), 0, -1)]
        return self._flip("value_of_member", self._rng.choice(members), name)

    def value_of_another(self) -> Plant:
        """Of a group that has an ordinal and is not in the set."""
        while True:
            name, prefix = self._bitmap()
            members = set(self._client.zrange(prefix + name.removeprefix("bits:"), 0, -1))
            others = sorted({*self._client.zrange(prefix + "ordinal", 0, -1)} - members)
            if others:
                ordinal = int(self._client.zscore(prefix + "ordinal", self._rng.choice(others)))
                return self._flip_at("value_of_another", prefix + name, ordinal, ("", name))

    def value_of_nobody(self) -> Plant:
        name, prefix = self._bitmap()
        return self._flip_at("value_of_nobody", prefix + name, self._beyond(prefix + name), ("", name))

    def missing_ordinal(self) -> Plant:
        group_id = self._any()
        key, ordinal = self.key(group_id, "ordinal"), self._ordinal(group_id)
        self._client.zrem(key, group_id)
        places = {(group_id, "ordinal"), (group_id, "text")}
        return Plant("missing_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def doubled_ordinal(self) -> Plant:
        """One group gets that of another one, and with it all of its bits."""
        group_id = self._any()
        key, ordinal = self.key(group_id, "ordinal"), self._ordinal(group_id)
        same_shard = [one for one in self._ids if one != group_id and self.key(one, "ordinal") == key]
        other = self._rng.choice(same_shard)
        self._client.zadd(key, {group_id: self._ordinal(other)})
        places = {(group_id, "ordinal"), (other, "ordinal"), (group_id, "text")}
        mine, others = (dict(self._entries(one)) for one in (group_id, other))
        for index, score in mine.items():
            field = index.removeprefix("by:")
            if field in buckets.SLICES:
                if buckets.bucket(field, score) != buckets.bucket(field, others[index]):
                    places.add((group_id, f"bits:{index}"))
            elif index not in others and self._client.exists(self.key(group_id, f"bits:{index}")):
                places.add((group_id, f"bits:{index}"))
        # Without a first id, or with two, nobody can tell what bits others ought to have.
        if 0 not in (ordinal, self._ordinal(other)):
            reference = self._client.zrange(key, 0, 0)[0].decode()
            if buckets.id_bits(group_id, reference) != buckets.id_bits(other, reference):
                places.add((group_id, "bits:by:id"))
        return Plant("doubled_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def bad_ordinal(self) -> Plant:
        group_id = self._any()
        key, ordinal = self.key(group_id, "ordinal"), self._ordinal(group_id)
        self._client.zadd(key, {group_id: self._rng.choice((-1, ordinal + 0.5, 2.0**32, float("inf")))})
        places = {(group_id, "ordinal"), (group_id, "text")}
        return Plant("bad_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def ordinal_of_a_stranger(self) -> Plant:
        """Beyond the next one; nobody is told as having it."""
        key = self.key(self._any(), "ordinal")
        self._client.zadd(key, {"og_stranger": self._client.zcard(key) + 1 + self._rng.randrange(9)})
        return Plant("ordinal_of_a_stranger", {("", "ordinal")}, lambda: self._client.zrem(key, "og_stranger"))

    def _flip(self, kind: str, group_id: str, name: str) -> Plant:
        return self._flip_at(kind, self.key(group_id, name), self._ordinal(group_id), (group_id, name))

    def _flip_at(self, kind: str, key: str, ordinal: int, place: tuple[str, str]) -> Plant:
        before = self._client.getbit(key, ordinal)
        self._client.setbit(key, ordinal, 1 - before)
        return Plant(kind, {place}, lambda: self._client.setbit(key, ordinal, before))

    def _bitmap(self) -> tuple[str, str]:
        """Name of one of a value, and what stands before it in the key."""
        found = sorted(self._client.scan_iter(match=f"og:{{{self._number}.*}}:bits:of:*", count=1000))
        prefix, _, rest = self._rng.choice(found).decode().partition(":bits:")
        return f"bits:{rest}", f"{prefix}:"

    def _beyond(self, key: str) -> int:
        """An ordinal that no group has yet."""
        prefix = key.partition(":bits:")[0]
        return int(self._client.zcard(prefix + ":ordinal")) + self._rng.randrange(40)

    def _entries(self, group_id: str) -> list[tuple[str, float]]:
        return [(index, score) for (index, _), score in oracle.entries(self._documents[group_id]).items()]
