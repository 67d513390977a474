"""Injects faults into bitmaps, ordinals and text."""

import random
from collections.abc import Callable
from typing import Any

from tests import stored
from tests.integration.faults import PARTS, Fault, FaultInjector


class BitmapFaultInjector(FaultInjector):
    """Faults of bitmaps, ordinals and text. `unlisted`: groups that are in no set."""

    def __init__(
        self, client: Any, number: int, shards: int, documents: dict[str, Any], rng: random.Random, unlisted: list[str]
    ) -> None:
        super().__init__(client, number, shards, documents, rng)
        self._unlisted = unlisted
        self.injections: tuple[Callable[[], Fault], ...] = (
            self.all_of_listed, self.all_of_unlisted, self.all_of_unused_ordinal, self.slice_of, self.slice_of_unlisted,
            self.slice_of_unused_ordinal, self.numbered, self.value_of_member, self.value_of_another,
            self.value_of_unused_ordinal, self.no_bitmap, self.missing_ordinal, self.doubled_ordinal, self.bad_ordinal,
            self.ordinal_of_an_unknown_group, self.low_counter, self.surplus_line, self.line_of_unlisted,
            self.no_chunk,
        )  # fmt: skip
        self._kinds = self.injections

    def all_of_listed(self) -> Fault:
        return self._flip("all_of_listed", self.random_id(), "bits:all")

    def all_of_unlisted(self) -> Fault:
        return self._flip("all_of_unlisted", self._rng.choice(self._unlisted), "bits:all")

    def all_of_unused_ordinal(self) -> Fault:
        key = self.key(self.random_id(), "bits:all")
        return self._flip_at("all_of_unused_ordinal", key, self.unused_ordinal(key), ("", "bits:all"))

    def slice_of(self) -> Fault:
        return self._slice_of("slice_of", self.random_id())

    def slice_of_unlisted(self) -> Fault:
        return self._slice_of("slice_of_unlisted", self._rng.choice(self._unlisted))

    def _slice_of(self, kind: str, group_id: str) -> Fault:
        name, k = self._random_slice()
        return self._flip_at(kind, self.key(group_id, f"{name}:{k}"), self.ordinal(group_id), (group_id, name))

    def slice_of_unused_ordinal(self) -> Fault:
        name, k = self._random_slice()
        key = self.key(self.random_id(), f"{name}:{k}")
        return self._flip_at("slice_of_unused_ordinal", key, self.unused_ordinal(key), ("", name))

    def numbered(self) -> Fault:
        return self._flip("numbered", self.random_id(), "bits:has:display_id")

    def value_of_member(self) -> Fault:
        name, prefix, members = self._bitmap()
        group_id = self._rng.choice(sorted(members))
        return self._flip_at("value_of_member", prefix + name, members[group_id], (group_id, name))

    def value_of_another(self) -> Fault:
        """A bit of a group that is not in the set."""
        while True:
            name, prefix, members = self._bitmap()
            ordinals = {i.decode(): stored.ordinal(m) for i, m in self._client.hgetall(prefix + "ordinal").items()}
            others = sorted(ordinals.keys() - members.keys())
            if others:
                other = self._rng.choice(others)
                return self._flip_at("value_of_another", prefix + name, ordinals[other], (other, name))

    def value_of_unused_ordinal(self) -> Fault:
        name, prefix, _ = self._bitmap()
        return self._flip_at("value_of_unused_ordinal", prefix + name, self.unused_ordinal(prefix), ("", name))

    def no_bitmap(self) -> Fault:
        """A bitmap that every listed group has a bit in is gone."""
        key = self.key(self.random_id(), "bits:all")
        bitmap = self._client.get(key)
        self._client.delete(key)
        places = {(i, "bits:all") for i in self._ids if self.key(i, "bits:all") == key}
        return Fault("no_bitmap", places, lambda: self._client.set(key, bitmap))

    def missing_ordinal(self) -> Fault:
        group_id = self.random_id()
        key, member = self.key(group_id, "ordinal"), self.member(group_id)
        places = self._lost(group_id)
        self._client.hdel(key, group_id)
        return Fault("missing_ordinal", places, lambda: self._client.hset(key, group_id, member))

    def doubled_ordinal(self) -> Fault:
        """One group gets the ordinal of another one."""
        group_id = self.random_id()
        key, member = self.key(group_id, "ordinal"), self.member(group_id)
        other = self._rng.choice([one for one in self._ids if one != group_id and self.key(one, "ordinal") == key])
        places = {*self._lost(group_id), (other, "ordinal")}
        self._client.hset(key, group_id, self.member(other))
        return Fault("doubled_ordinal", places, lambda: self._client.hset(key, group_id, member))

    def bad_ordinal(self) -> Fault:
        group_id = self.random_id()
        key, member = self.key(group_id, "ordinal"), self.member(group_id)
        places = self._lost(group_id)
        self._client.hset(key, group_id, self._rng.choice((b"", b"17", member + b"x", stored.member(2**32 - 1))))
        return Fault("bad_ordinal", places, lambda: self._client.hset(key, group_id, member))

    def ordinal_of_an_unknown_group(self) -> Fault:
        key = self.key("og_stranger", "ordinal")
        self._client.hset(key, "og_stranger", stored.member(self.unused_ordinal(key, above=0)))
        places = {("og_stranger", "ordinal")}
        return Fault("ordinal_of_an_unknown_group", places, lambda: self._client.hdel(key, "og_stranger"))

    def low_counter(self) -> Fault:
        key = self.key(self.random_id(), "ordinals")
        before = self._client.get(key)
        self._client.set(key, self._rng.choice((0, int(before) - 256, int(before) + 1, "x")))
        return Fault("low_counter", {("", "ordinals")}, lambda: self._client.set(key, before))

    def surplus_line(self) -> Fault:
        """A line of an ordinal that no group has."""
        key = self.key(self.random_id(), "text")
        chunk, place = divmod(self.unused_ordinal(key), stored.LINES)
        before = self._client.hget(key, chunk)
        lines = (before or b"\xff" * stored.LINES)[:-1].split(b"\xff")
        lines[place] = b"og_nobody\xfe"
        self._client.hset(key, chunk, b"".join(line + b"\xff" for line in lines))
        undo = undo_of(self._client, key, chunk, before)
        return Fault("surplus_line", {("", "text")}, undo)

    def line_of_unlisted(self) -> Fault:
        group_id = self._rng.choice(self._unlisted)
        self.set_part(group_id, "text", b"og_1\xfe")
        return Fault("line_of_unlisted", {(group_id, "text")}, lambda: self.set_part(group_id, "text", b""))

    def no_chunk(self) -> Fault:
        group_id = self.random_id()
        key, chunk = self.key(group_id, "text"), self.ordinal(group_id) // stored.LINES
        before = self._client.hget(key, chunk)
        self._client.hdel(key, chunk)
        own = [i for i in self._ids if self.key(i, "text") == key and self.ordinal(i) // stored.LINES == chunk]
        return Fault("no_chunk", {(i, "text") for i in own}, undo_of(self._client, key, chunk, before))

    def _lost(self, group_id: str) -> set[tuple[str, str]]:
        """Returns the places of a group without its ordinal: what it has belongs to no group."""
        document = self._documents[group_id]
        names = {name.rpartition(":")[0] if ":by:" in name else name for name in stored.bitmaps(document)}
        names = {name for name in names if ":of:" not in name or self._client.exists(self.key(group_id, name))}
        columns = {f"bits:by:{field}" for field, value in stored.columns(document).items() if value}
        names = {name for name in names if not name.startswith("bits:by:")} | columns
        return {(group_id, "ordinal"), *(("", name) for name in (*PARTS, *self.indexes(group_id), *names))}

    def _random_slice(self) -> tuple[str, int]:
        field = self._rng.choice(list(stored.SLICES))
        return f"bits:by:{field}", self._rng.randrange(stored.SLICES[field])

    def _flip(self, kind: str, group_id: str, name: str) -> Fault:
        return self._flip_at(kind, self.key(group_id, name), self.ordinal(group_id), (group_id, name))

    def _flip_at(self, kind: str, key: str, ordinal: int, place: tuple[str, str]) -> Fault:
        before = self._client.get(key)
        self._client.setbit(key, ordinal, 1 - self._client.getbit(key, ordinal))
        return Fault(
            kind, {place}, lambda: self._client.delete(key) if before is None else self._client.set(key, before)
        )

    def _bitmap(self) -> tuple[str, str, dict[str, int]]:
        """Returns the name of a bitmap of a value, the prefix of its key, and the ordinals of its groups by id."""
        found = sorted(self._client.scan_iter(match=f"og:{{{self._number}.*}}:bits:of:*", count=1000))
        prefix, _, rest = self._rng.choice(found).decode().partition(":bits:")
        own = [i for i in self._ids if rest in self.indexes(i) and self.key(i, "") == f"{prefix}:"]
        return f"bits:{rest}", f"{prefix}:", {group_id: self.ordinal(group_id) for group_id in own}


def undo_of(client: Any, key: str, field: int, before: bytes | None) -> Callable[[], object]:
    """Returns what sets the field of a hash as it was."""
    return lambda: client.hdel(key, field) if before is None else client.hset(key, field, before)
