"""Cuts a window of the log into parts, each written by one script call. Pure."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from events.logs.log import Partition
from projector.anchors import newest_anchors
from projector.project import Change, Decoded, Fate
from projector.readmodel.schema.keys import Generation
from projector.store.commit import Advance
from projector.trail import Trail

# How many groups one script call writes: with a million groups in Redis that takes about 5 ms.
PART_GROUPS = 50

Positions = Mapping[Partition, int]
# Partition, as in `orders/0` -> how many records met each fate.
Tally = Mapping[str, Mapping[Fate, int]]


class Part(Struct):
    """Some groups of a window with all their events in it, to be written to one shard.

    The last part of a shard advances the positions. `ungrouped`: records that belong to no group.
    """

    shard: int
    groups: dict[str, list[Decoded]]
    advances: dict[Partition, Advance]
    ungrouped: list[Decoded]

    @property
    def items(self) -> list[Decoded]:
        return [item for group in self.groups.values() for item in group] + self.ungrouped


def parts(
    generation: Generation,
    shard_positions: Sequence[Mapping[Partition, int | None]],
    trail: Trail,
    window: Sequence[Decoded],
    reached: Positions,
) -> list[Part]:
    """Returns parts of all that the shards have not stored yet, shard after shard. `shard_positions`: of each shard;
    `trail`: their anchors.
    """
    anchors = newest_anchors(item.record for item in window)
    groups: list[dict[str, list[Decoded]]] = [{} for _ in shard_positions]
    ungrouped = []
    for item in window:
        # Records without a group are counted, and parked, in shard 0.
        shard = generation.shard_of(item.event.group_id) if item.event else 0
        if item.record.offset < (shard_positions[shard][item.record.partition] or 0):
            continue
        if item.event:
            groups[shard].setdefault(item.event.group_id, []).append(item)
        else:
            ungrouped.append(item)
    found = []
    for shard, (positions, of_shard) in enumerate(zip(shard_positions, groups, strict=True)):
        if advances := trail.advances(shard, positions, reached, anchors):
            *others, last = slices(list(of_shard), PART_GROUPS) or [[]]
            found += [Part(shard, {group_id: of_shard[group_id] for group_id in ids}, {}, []) for ids in others]
            last_groups = {group_id: of_shard[group_id] for group_id in last}
            found.append(Part(shard, last_groups, advances, [] if shard else ungrouped))
    return found


def slices(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def split(part: Part) -> tuple[Part, Part]:
    ids = list(part.groups)
    middle = len(ids) // 2
    first, second = ({i: part.groups[i] for i in some} for some in (ids[:middle], ids[middle:]))
    return Part(part.shard, first, {}, []), Part(part.shard, second, part.advances, part.ungrouped)


def add_tallies(one: Tally, other: Tally) -> dict[str, dict[Fate, int]]:
    return {
        partition: {fate: one.get(partition, {}).get(fate, 0) + other.get(partition, {}).get(fate, 0) for fate in Fate}
        for partition in one.keys() | other.keys()
    }


def describe_poison(change: Change) -> str:
    """Returns position and reason of the first parked event."""
    events = sorted((msgspec.json.decode(record) for record in change.parked.values()), key=lambda e: e["offset"])
    at = f"{events[0]['topic']}/{events[0]['partition']}@{events[0]['offset']}"
    return f"{at}: {events[0]['reason']}. `projector run` parks such events; --park does the same here"
