"""A window of the log, cut into parts that one script each takes in. Pure."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from events.log import Partition
from projector.project import Change, Decoded, Fate
from projector.readmodel.keys import Generation
from projector.store.commit import Advance

# How many groups one script writes: at a million groups that takes Redis about 5 ms.
PART_GROUPS = 50

Positions = Mapping[Partition, int]
# Partition, as in `orders/0` -> how many records met each fate.
Tally = Mapping[str, Mapping[Fate, int]]


class Part(Struct):
    """Some groups of a window with all their events in it, on their way into one shard.

    The last part of a window has its positions, and what belongs to no group.
    """

    shard: int
    groups: dict[str, list[Decoded]]
    advances: dict[Partition, Advance]
    loose: list[Decoded]

    @property
    def items(self) -> list[Decoded]:
        return [item for group in self.groups.values() for item in group] + self.loose


def parts(
    generation: Generation,
    shard: int,
    heads: Mapping[Partition, int | None],
    window: Sequence[Decoded],
    reached: Positions,
) -> list[Part]:
    """A shard's share of the window, unless it has had it. `heads`: where the shard stands."""
    advances = {p: Advance(heads[p], stop) for p, stop in reached.items() if stop > (heads[p] or 0)}
    if not advances:
        return []
    groups: dict[str, list[Decoded]] = {}
    loose = []
    for item in window:
        if item.record.offset < (heads[item.record.partition] or 0):
            continue
        if item.event is None:
            # Records without a group are counted, and parked, in shard 0.
            if shard == 0:
                loose.append(item)
        elif generation.shard_of(item.event.group_id) == shard:
            groups.setdefault(item.event.group_id, []).append(item)
    *others, last = slices(list(groups), PART_GROUPS) or [[]]
    return [
        *(Part(shard, {group_id: groups[group_id] for group_id in ids}, {}, []) for ids in others),
        Part(shard, {group_id: groups[group_id] for group_id in last}, advances, loose),
    ]


def slices(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def halves(part: Part) -> tuple[Part, Part]:
    ids = list(part.groups)
    middle = len(ids) // 2
    first, second = ({i: part.groups[i] for i in some} for some in (ids[:middle], ids[middle:]))
    return Part(part.shard, first, {}, []), Part(part.shard, second, part.advances, part.loose)


def added(one: Tally, other: Tally) -> dict[str, dict[Fate, int]]:
    return {
        partition: {fate: one.get(partition, {}).get(fate, 0) + other.get(partition, {}).get(fate, 0) for fate in Fate}
        for partition in one.keys() | other.keys()
    }


def poison(change: Change) -> str:
    """The first event, by position."""
    events = sorted((msgspec.json.decode(told) for told in change.parked.values()), key=lambda e: e["offset"])
    at = f"{events[0]['topic']}/{events[0]['partition']}@{events[0]['offset']}"
    return f"{at}: {events[0]['reason']}. The live path parks such events; --park does so here"
