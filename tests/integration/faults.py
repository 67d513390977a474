"""Injects faults into a generation with plain Redis commands. Each fault can be undone."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests import buckets, oracle
from tests.fields import SORT_FIELDS
from tests.readmodel import shard_of

PARTS = ("row", "rest", "text", "state")


class Fault(NamedTuple):
    """`places`: group and hash or index of each expected difference. `undo` removes the fault."""

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
        )  # fmt: skip
        self._left: list[Callable[[], Fault]] = []

    def inject(self) -> Fault:
        """Injects a fault. Each kind is used once before any is repeated."""
        if not self._left:
            self._left = self._rng.sample(self._kinds, len(self._kinds))
        return self._left.pop()()

    def key(self, group_id: str, name: str) -> str:
        return f"og:{{{self._number}.{shard_of(group_id, self._shards)}}}:{name}"

    def part(self, group_id: str, name: str) -> bytes:
        if name == "text":
            lines, index, _ = self._lines(group_id)
            return lines[index]
        value: bytes = self._client.hget(self.key(group_id, name), group_id)
        return value

    def set_part(self, group_id: str, name: str, value: bytes) -> None:
        if name == "text":
            lines, index, chunk = self._lines(group_id)
            lines[index] = value
            self._client.hset(self.key(group_id, "text"), chunk, b"".join(line + b"\xff" for line in lines))
        else:
            self._client.hset(self.key(group_id, name), group_id, value)

    def _lines(self, group_id: str) -> tuple[list[bytes], int, int]:
        """Returns the lines of the group's chunk, the index of its own line, and the number of the chunk."""
        chunk, place = divmod(self._ordinal(group_id), 128)
        return self._client.hget(self.key(group_id, "text"), chunk)[:-1].split(b"\xff"), place, chunk

    def byte(self) -> Fault:
        group_id, part = self._random_id(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        at = self._rng.randrange(len(value))
        bits = [bit for bit in range(8) if part != "text" or value[at] ^ 1 << bit != 0xFF]
        other = value[:at] + bytes([value[at] ^ 1 << self._rng.choice(bits)]) + value[at + 1 :]
        self.set_part(group_id, part, other)
        return Fault("byte", {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def missing_part(self) -> Fault:
        group_id, part = self._random_id(), self._rng.choice(PARTS)
        value = self.part(group_id, part)
        if part == "text":
            self.set_part(group_id, part, b"")
        else:
            self._client.hdel(self.key(group_id, part), group_id)
        return Fault("missing part", {(group_id, part)}, lambda: self.set_part(group_id, part, value))

    def surplus_line(self) -> Fault:
        """A line after the last one."""
        key = self.key(self._random_id(), "text")
        chunk = self._client.hlen(key) - 1
        before = self._client.hget(key, chunk)
        self._client.hset(key, chunk, before + b"og_nobody\xfe\xff")

        def undo() -> None:
            self._client.hset(key, chunk, self._client.hget(key, chunk).removesuffix(b"og_nobody\xfe\xff"))

        return Fault("surplus_line", {("", "text")}, undo)

    def missing_member(self) -> Fault:
        group_id = self._random_id()
        index = self._rng.choice(self.indexes(group_id))
        key = self.key(group_id, index)
        score = self._client.zscore(key, group_id)
        self._client.zrem(key, group_id)
        return Fault("missing member", {(group_id, index)}, lambda: self._client.zadd(key, {group_id: score}))

    def wrong_score(self) -> Fault:
        group_id = self._random_id()
        index = self._rng.choice(self.indexes(group_id))
        key = self.key(group_id, index)
        score = self._client.zscore(key, group_id)
        self._client.zadd(key, {group_id: 17.5 if score == float("inf") else score + 1})
        return Fault("wrong score", {(group_id, index)}, lambda: self._client.zadd(key, {group_id: score}))

    def surplus_member(self) -> Fault:
        """A known or an unknown group in an existing set."""
        one = self._random_id()
        index = self._rng.choice(self.indexes(one))
        strangers = [group_id for group_id in self._ids if index not in self.indexes(group_id)]
        group_id = self._rng.choice([*strangers, "og_stranger"])
        key = self.key(group_id, index)
        self._client.zadd(key, {group_id: 1.5})
        return Fault("surplus member", {(group_id, index)}, lambda: self._client.zrem(key, group_id))

    def swapped(self) -> Fault:
        """One member missing, one unexpected: the set has the expected size."""
        one = self._random_id()
        index = self._rng.choice(self.indexes(one))
        key = self.key(one, index)
        score = self._client.zscore(key, one)
        other = next(f"og_other_{n}" for n in range(1000) if self.key(f"og_other_{n}", index) == key)
        self._client.zrem(key, one)
        self._client.zadd(key, {other: score})

        def undo() -> None:
            self._client.zadd(key, {one: score})
            self._client.zrem(key, other)

        return Fault("swapped", {(one, index), (other, index)}, undo)

    def surplus_group(self) -> Fault:
        group_id = f"og_surplus_{self._rng.randrange(1000)}"
        names: tuple[str, ...] = ("row", "rest", "state")
        if self._rng.random() < 0.5:
            names = (self._rng.choice(names),)
        for name in names:
            self._client.hset(self.key(group_id, name), group_id, b'{"id":1}')
        places = {(group_id, name) for name in names}
        return Fault(
            "surplus group", places, lambda: [self._client.hdel(self.key(group_id, n), group_id) for n in names]
        )

    def missing_set(self) -> Fault:
        index = self._rng.choice([name for name in self.indexes(self._random_id()) if name.startswith("of:")])
        one = next(group_id for group_id in self._ids if index in self.indexes(group_id))
        key = self.key(one, index)
        members = dict(self._client.zrange(key, 0, -1, withscores=True))
        self._client.delete(key)
        places = {(member.decode(), index) for member in members}
        return Fault("missing set", places, lambda: self._client.zadd(key, members))

    def new_set(self) -> Fault:
        group_id = self._random_id()
        index = self._rng.choice(("of:status:made up", "of:customer_id:nobody: at all", "of:seller_id:"))
        key = self.key(group_id, index)
        self._client.zadd(key, {group_id: 5})
        return Fault("new set", {(group_id, index)}, lambda: self._client.delete(key))

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

    def _random_id(self) -> str:
        return self._rng.choice(self._ids)


class BitmapFaultInjector(FaultInjector):
    """Faults of bitmaps and ordinals. `unlisted`: groups with an ordinal that are in no set."""

    def __init__(
        self, client: Any, number: int, shards: int, documents: dict[str, Any], rng: random.Random, unlisted: list[str]
    ) -> None:
        super().__init__(client, number, shards, documents, rng)
        self._unlisted = unlisted
        self.injections: tuple[Callable[[], Fault], ...] = (
            self.all_of_listed, self.all_of_unlisted, self.all_of_unused_ordinal, self.slice_of, self.slice_of_id,
            self.value_of_member, self.value_of_another, self.value_of_unused_ordinal, self.missing_ordinal,
            self.doubled_ordinal, self.bad_ordinal, self.ordinal_of_an_unknown_group, self.surplus_line,
            self.line_of_unlisted,
        )  # fmt: skip
        self._kinds = self.injections

    def all_of_listed(self) -> Fault:
        return self._flip("all_of_listed", self._random_id(), "bits:all")

    def all_of_unlisted(self) -> Fault:
        return self._flip("all_of_unlisted", self._rng.choice(self._unlisted), "bits:all")

    def line_of_unlisted(self) -> Fault:
        group_id = self._rng.choice(self._unlisted)
        self.set_part(group_id, "text", b"og_1\xfe")
        return Fault("line_of_unlisted", {(group_id, "text")}, lambda: self.set_part(group_id, "text", b""))

    def all_of_unused_ordinal(self) -> Fault:
        key = self.key(self._random_id(), "bits:all")
        return self._flip_at("all_of_unused_ordinal", key, self._beyond(key), ("", "bits:all"))

    def slice_of(self, field: str = "") -> Fault:
        group_id = (
            self._random_id() if field or not self._unlisted else self._rng.choice((self._random_id(), *self._unlisted))
        )
        field = field or self._rng.choice(list(buckets.SLICES))
        name = f"bits:by:{field}"
        k = self._rng.randrange(buckets.SLICES[field])
        return self._flip_at("slice_of", self.key(group_id, f"{name}:{k}"), self._ordinal(group_id), (group_id, name))

    def slice_of_id(self) -> Fault:
        group_id = self._rng.choice((self._random_id(), *self._unlisted))
        key = self.key(group_id, f"bits:by:id:{self._rng.randrange(8 * buckets.ID_BYTES)}")
        return self._flip_at("slice_of_id", key, self._ordinal(group_id), (group_id, "bits:by:id"))

    def value_of_member(self) -> Fault:
        name, prefix = self._bitmap()
        members = [member.decode() for member in self._client.zrange(prefix + name.removeprefix("bits:"), 0, -1)]
        return self._flip("value_of_member", self._rng.choice(members), name)

    def value_of_another(self) -> Fault:
        """A bit of a group that has an ordinal and is not in the set."""
        while True:
            name, prefix = self._bitmap()
            members = set(self._client.zrange(prefix + name.removeprefix("bits:"), 0, -1))
            others = sorted({*self._client.zrange(prefix + "ordinal", 0, -1)} - members)
            if others:
                ordinal = int(self._client.zscore(prefix + "ordinal", self._rng.choice(others)))
                return self._flip_at("value_of_another", prefix + name, ordinal, ("", name))

    def value_of_unused_ordinal(self) -> Fault:
        name, prefix = self._bitmap()
        return self._flip_at("value_of_unused_ordinal", prefix + name, self._beyond(prefix + name), ("", name))

    def missing_ordinal(self) -> Fault:
        group_id = self._random_id()
        key, ordinal = self.key(group_id, "ordinal"), self._ordinal(group_id)
        self._client.zrem(key, group_id)
        places = {(group_id, "ordinal"), (group_id, "text")}
        return Fault("missing_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def doubled_ordinal(self) -> Fault:
        """One group gets the ordinal of another one, and with it all of its bits."""
        group_id = self._random_id()
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
        # With no or two groups of ordinal 0, the expected bits of ids are unknown.
        if 0 not in (ordinal, self._ordinal(other)):
            reference = self._client.zrange(key, 0, 0)[0].decode()
            if buckets.id_bits(group_id, reference) != buckets.id_bits(other, reference):
                places.add((group_id, "bits:by:id"))
        return Fault("doubled_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def bad_ordinal(self) -> Fault:
        group_id = self._random_id()
        key, ordinal = self.key(group_id, "ordinal"), self._ordinal(group_id)
        self._client.zadd(key, {group_id: self._rng.choice((-1, ordinal + 0.5, 2.0**32, float("inf")))})
        places = {(group_id, "ordinal"), (group_id, "text")}
        return Fault("bad_ordinal", places, lambda: self._client.zadd(key, {group_id: ordinal}))

    def ordinal_of_an_unknown_group(self) -> Fault:
        """An ordinal after the next free one; the difference names no group."""
        key = self.key(self._random_id(), "ordinal")
        self._client.zadd(key, {"og_stranger": self._client.zcard(key) + 1 + self._rng.randrange(9)})
        return Fault("ordinal_of_an_unknown_group", {("", "ordinal")}, lambda: self._client.zrem(key, "og_stranger"))

    def _flip(self, kind: str, group_id: str, name: str) -> Fault:
        return self._flip_at(kind, self.key(group_id, name), self._ordinal(group_id), (group_id, name))

    def _flip_at(self, kind: str, key: str, ordinal: int, place: tuple[str, str]) -> Fault:
        before = self._client.getbit(key, ordinal)
        self._client.setbit(key, ordinal, 1 - before)
        return Fault(kind, {place}, lambda: self._client.setbit(key, ordinal, before))

    def _bitmap(self) -> tuple[str, str]:
        """Returns the name of a bitmap of a value, and the prefix of its key."""
        found = sorted(self._client.scan_iter(match=f"og:{{{self._number}.*}}:bits:of:*", count=1000))
        prefix, _, rest = self._rng.choice(found).decode().partition(":bits:")
        return f"bits:{rest}", f"{prefix}:"

    def _beyond(self, key: str) -> int:
        """Returns an ordinal that no group has."""
        prefix = key.partition(":bits:")[0]
        return int(self._client.zcard(prefix + ":ordinal")) + self._rng.randrange(40)

    def _entries(self, group_id: str) -> list[tuple[str, float]]:
        return [(index, score) for (index, _), score in oracle.entries(self._documents[group_id]).items()]
