"""The arguments of a commit: a Change as checks and prepared commands. Pure. lua/commit.lua describes them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any

import msgspec

from events.logs.log import Partition
from projector.anchors import packed
from projector.project import Change
from projector.readmodel.record.state import revision_of
from projector.readmodel.schema.keys import CREATED, VERSION
from projector.readmodel.schema.ordinals import block_end, line_of, member_of
from projector.readmodel.schema.tally import PARKED_BYTES, RECEIVED
from projector.store.commit import Advance
from projector.store.flips import Flips, Moves, flips, value_flips

Argument = str | bytes

# Total size of a script's arguments: what Redis can process in a few milliseconds.
REQUEST_BYTES_MAX = 1024 * 1024
# Arguments of one command: Lua's stack holds 8000 values. Pairs, and fours, stay together.
ARGUMENTS_MAX = 4000

_encode = msgspec.msgpack.Encoder().encode


def request(change: Change, advances: Mapping[Partition, Advance]) -> list[Argument]:
    """Returns the arguments that the commit takes after its keys, except the last, the nonce."""
    new = [ordinal for ordinal, revision in change.groups.values() if not revision]
    revisions = b"".join(map(revision_of, change.records.values()))
    sections: tuple[list[Argument], ...] = (
        _groups(change),
        [b"".join(map(member_of, change.records))] if change.records else [],
        _commands(change, advances),
        _bits(flips(change.moves)),
        _bits(value_flips(change.moves)),
        _texts(change.moves),
    )
    head = _encode(
        (
            str(VERSION),
            [*chain.from_iterable((str(p), a.start is not None and a.start, a.stop) for p, a in advances.items())],
            [len(section) for section in sections],
            tallies(change),
            change.unparked,
            change.redriven,
            blake2b(revisions, digest_size=8).hexdigest(),
            block_end(max(new)) if new else 0,
        )
    )
    return [head, *chain.from_iterable(sections)]


def _groups(change: Change) -> list[Argument]:
    arguments: list[Argument] = []
    for group_id, (ordinal, revision) in change.groups.items():
        arguments += group_id, member_of(ordinal), revision
    return arguments


def _commands(change: Change, advances: Mapping[Partition, Advance]) -> list[Argument]:
    """Returns commands on what the groups of the commit have to themselves."""
    commands: list[Argument] = []
    anchors = {str(partition): packed(advance.last) for partition, advance in advances.items() if advance.last}
    _add(commands, "HSET", "record", by_member(change.records))
    for name, key, arguments in entries(change, change.moves):
        _add(commands, name, key, arguments)
    _add(commands, "HSET", "discarded", _pairs(change.discarded))
    _add(commands, "HSET", "last", _pairs(anchors))
    return commands


def entries(change: Change, moves: Moves) -> Iterator[tuple[str, str, list[Argument]]]:
    """Yields the writes of rows, sorted sets and parked records: command, key without prefix, arguments.

    `moves`: those of the change, in the order in which members are added.
    """
    yield "HSET", "row", by_member(change.rows)
    yield "HDEL", "row", [member_of(ordinal) for ordinal, (_, after) in moves.items() if after is None]
    for command, sets in zip(("ZREM", "ZADD"), _sorted_sets(moves), strict=True):
        for name, arguments in sets.items():
            yield command, name, arguments
    yield "HSET", "parked", _pairs(change.parked)


def by_member(values: Mapping[int, bytes]) -> list[Argument]:
    """Returns members and values, in turn. `values`: by ordinal."""
    return [*chain.from_iterable((member_of(ordinal), value) for ordinal, value in values.items())]


def _sorted_sets(moves: Moves) -> tuple[dict[str, list[Argument]], dict[str, list[Argument]]]:
    """Returns set -> members to remove, and set -> scores and members to add, in turn."""
    remove: defaultdict[str, list[Argument]] = defaultdict(list)
    add: defaultdict[str, list[Argument]] = defaultdict(list)
    for ordinal, (before, after) in moves.items():
        member = member_of(ordinal)
        # Not tuples: a group may have a thousand sellers.
        olds = dict.fromkeys((CREATED, *before.values)) if before else {}
        news = dict.fromkeys((CREATED, *after.values)) if after else {}
        for name in olds:
            if name not in news:
                remove[name].append(member)
        if after:
            score = str(after.columns.created_at)
            is_moved = before is not None and before.columns.created_at != after.columns.created_at
            for name in news:
                if is_moved or name not in olds:
                    add[name] += score, member
    return remove, add


def lines(moves: Moves) -> dict[int, dict[int, bytes]]:
    """Returns chunk of `text` -> place -> line, those that change."""
    found: dict[int, dict[int, bytes]] = {}
    for ordinal, (before, after) in moves.items():
        line = after.text if after else b""
        if line != (before.text if before else b""):
            chunk, place = line_of(ordinal)
            found.setdefault(chunk, {})[place] = line
    return found


def _bits(bitmaps: Flips) -> list[Argument]:
    arguments: list[Argument] = []
    for name, bits in bitmaps.items():
        arguments += name, bytes(bits)
    return arguments


def _texts(moves: Moves) -> list[Argument]:
    arguments: list[Argument] = []
    for chunk, by_place in lines(moves).items():
        arguments += str(chunk), str(2 * len(by_place))
        arguments += chain.from_iterable((str(place), line) for place, line in by_place.items())
    return arguments


def _add(commands: list[Argument], name: str, key: str, arguments: Sequence[Argument]) -> None:
    for start in range(0, len(arguments), ARGUMENTS_MAX):
        some = arguments[start : start + ARGUMENTS_MAX]
        commands += name, key, str(len(some)), *some


def _pairs(fields: Mapping[Any, Argument]) -> list[Argument]:
    return [*chain.from_iterable(fields.items())]


def tallies(change: Change) -> dict[str, int]:
    """Returns name -> by how much the number in `tally` grows, such as `orders/0:applied`."""
    tally: dict[str, int] = {}
    for partition, fates in change.tally.items():
        tally |= {f"{partition}:{fate}": records for fate, records in fates.items() if records}
        tally[f"{partition}:{RECEIVED}"] = sum(fates.values())
    tally |= {f"{partition}:{PARKED_BYTES}": size for partition, size in change.parked_bytes.items() if size}
    return tally
