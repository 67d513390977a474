"""One list out of several shards' lists, each in the same order: what their answers prove. Pure.

A rank is how many come before: in the list of a shard, or in the list of all.
"""

from collections.abc import Sequence
from itertools import zip_longest
from math import inf
from operator import itemgetter
from typing import Any

from msgspec import Struct

from projector.readmodel.query.calls import Window
from projector.readmodel.query.mark import Mark, filters_of, generation_of, order_of
from projector.readmodel.query.query import Query
from projector.readmodel.schema.columns import SLICES, columns_of, row_json

# Value, ordinal, number of the shard. In the order of lists if compared, or in the reverse.
Place = tuple[int | float, int, int]


class Reply(Struct, frozen=True):
    """As answer.lua has it, of one shard. `counted`: as aggregates.lua has it."""

    positions: object
    count: int
    ordinals: Sequence[int]
    rows: Sequence[bytes]
    records: Sequence[bytes]
    commit: Sequence[Any]
    plan: bytes
    steps: Sequence[object]
    passed: int
    counted: Sequence[Any] = ()


class Group(Struct, frozen=True, gc=False):
    """A group of a page. `row`: the JSON object of the default fields. `record`: None if it was not read with it."""

    shard: int
    ordinal: int
    row: bytes
    record: bytes | None


class Part(Struct, frozen=True):
    """What one shard returned: the length of its list, and the places at `start`, `start + step`, ... of it. In a walk,
    the list is what comes after the mark.

    `groups`: those at the places, if the step is 1.
    """

    count: int
    start: int
    step: int
    places: Sequence[Place]
    groups: Sequence[Group]


def part(query: Query, shard: int, window: Window, reply: Reply) -> Part:
    count = reply.count - reply.passed
    column = tuple(SLICES).index(query.sort)
    last = -inf if query.descending else inf
    places: list[Place] = []
    for ordinal, row in zip(reply.ordinals, reply.rows, strict=True):
        value = columns_of(row)[column]
        places.append((last if value is None else value, ordinal, shard))
    return Part(count, min(window.start, count), window.step, places, groups(shard, reply) if window.step == 1 else ())


def mark_at(query: Query, group: Group, reply: Reply, generation: bytes) -> Mark:
    """Returns the mark after a group of a page. `reply`: of its shard. `generation`: its unique name."""
    columns = columns_of(reply.rows[reply.ordinals.index(group.ordinal)])
    value = columns[tuple(SLICES).index(query.sort)]
    return Mark(order_of(query), filters_of(query), generation_of(generation), value, group.ordinal, group.shard)


def groups(shard: int, reply: Reply) -> list[Group]:
    """`reply`: with all groups at some ranks."""
    found = zip_longest(reply.ordinals, reply.rows, reply.records)
    return [Group(shard, ordinal, row_json(row), record) for ordinal, row, record in found]


def merged(parts: Sequence[Part], offset: int, limit: int, *, descending: bool) -> list[Group] | None:
    """Returns the page; None where the parts do not show all of it, or not that it is it."""
    end = min(offset + limit, sum(part.count for part in parts))
    if end <= offset:
        return []
    found: list[tuple[Place, Group]] = []
    firsts, lasts = [], []
    for part in parts:
        more = part.start + len(part.places) < part.count
        if not part.places and (part.start or more):
            return None
        found.extend(zip(part.places, part.groups, strict=True))
        if part.start:
            firsts.append(part.places[0])
        if more:
            lasts.append(part.places[-1])
    found.sort(key=itemgetter(0), reverse=descending)
    places = [place for place, _ in found]
    # Only between what all parts show nothing is missing, so only there ranks are known.
    latest, earliest = (min, max) if descending else (max, min)
    known_from = places.index(latest(firsts)) if firsts else 0
    known_to = places.index(earliest(lasts)) if lasts else len(places) - 1
    hidden = sum(part.start for part in parts)
    if offset - hidden < known_from or end - 1 - hidden > known_to:
        return None
    return [group for _, group in found[offset - hidden : end - hidden]]
