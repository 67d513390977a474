"""The commands of a window, executed by plain code, leave what the groups should have."""

import random
from collections.abc import Mapping

import pytest

from projector.project import Change
from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import Columns
from projector.readmodel.schema.keys import Keys
from projector.rebuild.bitmaps import slices
from projector.rebuild.commands import New, commands, old_chunks, parts, text_commands
from tests import stored

BLOCK, LINES = 256, 128


@pytest.mark.parametrize("bits", [1, 2, 8, 9, 49, 81])
def test_slices(bits: int) -> None:
    chance = random.Random(bits)
    for span in (0, 1, bits - 1):
        values = [chance.randrange(-(2**span), 2**span) if bits > 1 else chance.randrange(2) for _ in range(64)]
        found = {k: stored.bits(some) for k, some in slices(values, bits)}
        expected = {k: {i for i, value in enumerate(values) if value >> k & 1} for k in range(bits)}
        assert found == {k: ones for k, ones in expected.items() if ones}


def indexed(chance: random.Random) -> Indexed | None:
    if chance.random() < 0.2:
        return None
    number = chance.choice((None, chance.randrange(2**40)))
    total = chance.choice((1, -1)) * chance.randrange(10 ** chance.randrange(1, 24))
    columns = Columns(chance.randrange(2**41), chance.randrange(2**41), total, chance.randrange(1, 5), number)
    values = sorted(chance.sample(["of:status:a", "of:status:b", "of:seller_id:1", "of:seller_id:2"], 2))
    return Indexed(columns, tuple(values), b"og\xfe%d" % chance.randrange(9))


def names(group: Indexed | None) -> set[str]:
    """Of the bitmaps that have the group's bit, but those of values."""
    if group is None:
        return set()
    found = {"bits:all"} | ({"bits:has:display_id"} if group.columns.display_id is not None else set())
    for field, value in group.columns._asdict().items():
        found |= {f"bits:by:{field}:{k}" for k in range(stored.SLICES[field]) if (value or 0) >> k & 1}
    return found


class Shard:
    """Executes what builders send."""

    def __init__(self) -> None:
        self.sets: dict[str, dict[int, int]] = {}
        self.bits: dict[str, set[int]] = {}
        self.hashes: dict[str, dict[bytes, bytes]] = {}

    def run(self, name: str, key: str, *arguments: str | bytes) -> None:
        getattr(self, name.lower())(key.removeprefix("og:{0.0}:"), *arguments)

    def hset(self, key: str, *pairs: str | bytes) -> None:
        texts = [one.encode() if isinstance(one, str) else one for one in pairs]
        self.hashes.setdefault(key, {}).update(zip(texts[::2], texts[1::2], strict=True))

    def hdel(self, key: str, *fields: bytes) -> None:
        for field in fields:
            self.hashes.get(key, {}).pop(field, None)

    def zadd(self, key: str, *pairs: str | bytes) -> None:
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            assert isinstance(member, bytes)
            self.sets.setdefault(key, {})[stored.ordinal(member)] = int(score)

    def zrem(self, key: str, *members: bytes) -> None:
        for member in members:
            self.sets.get(key, {}).pop(stored.ordinal(member), None)

    def setrange(self, key: str, start: str, some: bytes) -> None:
        first = 8 * int(start)
        kept = {one for one in self.bits.get(key, set()) if not first <= one < first + 8 * len(some)}
        self.bits[key] = kept | {first + one for one in stored.bits(some)}

    def bitfield(self, key: str, *fours: str) -> None:
        for command, width, at, value in zip(*(fours[i::4] for i in range(4)), strict=True):
            assert command == "SET"
            bits = f"{int(value):0{int(width[1:])}b}"
            for i, bit in enumerate(bits):
                (set.add if bit == "1" else set.discard)(self.bits.setdefault(key, set()), int(at) + i)


@pytest.mark.parametrize("seed", range(10))
def test_commands_of_several_windows(seed: int) -> None:
    """New groups, changed ones, and windows that are written twice."""
    chance, keys, shard = random.Random(seed), Keys("og:{0.0}:"), Shard()
    groups: dict[int, Indexed | None] = {}
    end = 0
    for number in range(4):
        count = chance.choice((0, 1, 40, BLOCK, 300))
        new = New(end if count else 0, [f"og_{number}_{i}" for i in range(count)])
        end = max(end, new.end)
        changed = chance.sample(sorted(groups), min(len(groups), 50))
        moves = {at: (groups[at], indexed(chance)) for at in changed}
        moves |= {new.first + i: (None, indexed(chance)) for i in range(count)}
        change = Change(
            records=dict.fromkeys(moves, b"record %d" % number),
            rows={at: b"row %d" % number for at, (_, after) in moves.items() if after},
            moves={at: move for at, move in moves.items() if move[0] != move[1]},
        )
        chunks = {chunk: shard.hashes.get("text", {}).get(b"%d" % chunk) for chunk in old_chunks(change, new)}
        sent = [*parts(text_commands(keys, change, chunks)), *parts(commands(keys, change, new))]
        for _ in range(chance.randrange(1, 3)):
            for part in sent:
                for command in part:
                    shard.run(*command)  # type: ignore[arg-type]
        groups |= {at: after for at, (_, after) in moves.items()}
        check(shard, groups)
        assert {int.from_bytes(one, "big") for one in shard.hashes.get("ordinal", {}).values()} == groups.keys()


def check(shard: Shard, groups: Mapping[int, Indexed | None]) -> None:
    listed = {at: group for at, group in groups.items() if group}
    expected_bits: dict[str, set[int]] = {}
    expected_sets: dict[str, dict[int, int]] = {}
    for at, group in listed.items():
        for name in names(group):
            expected_bits.setdefault(name, set()).add(at)
        for name in ("by:created_at", *group.values):
            expected_sets.setdefault(name, {})[at] = group.columns.created_at
    assert {name: found for name, found in shard.bits.items() if found} == expected_bits
    assert {name: found for name, found in shard.sets.items() if found} == expected_sets
    assert shard.hashes.get("row", {}).keys() == {stored.member(at) for at in listed}
    assert shard.hashes.get("record", {}).keys() == {stored.member(at) for at in groups}
    texts = {}
    for chunk, lines in shard.hashes.get("text", {}).items():
        assert lines.count(b"\xff") == LINES
        for place, line in enumerate(lines.split(b"\xff")[:LINES]):
            if line:
                texts[int(chunk) * LINES + place] = line
    assert texts == {at: group.text for at, group in listed.items()}


def test_parts_are_limited_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.rebuild.commands.PART_ARGUMENTS", 10)
    monkeypatch.setattr("projector.rebuild.commands.PART_BYTES", 100)
    sent = [("HSET", "k", str(i), "x" * (150 if i == 5 else 1)) for i in range(20)]
    cut = parts(sent)
    assert [command for part in cut for command in part] == sent
    assert [len(part) for part in cut] == [3, 3, 3, 3, 3, 3, 2]
    assert parts([]) == [[]]
