"""A window is cut into parts of one shard each."""

import random
from collections.abc import Mapping

import pytest

from events.contract.order import OrderEvent
from events.logs.log import Partition, Record
from projector.project import Decoded
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.rebuild.parts import PART_GROUPS, parts
from projector.trail import Trail

ONE, OTHER = Partition("orders", 0), Partition("orders", 1)
GROUPS = 400


def window(chance: random.Random, ends: Mapping[Partition, int]) -> list[Decoded]:
    """Every twentieth record belongs to no group."""
    made = []
    for partition, end in ends.items():
        for offset in range(end):
            event = OrderEvent(f"og_{chance.randrange(GROUPS)}", "order_1", (1, 0, 0), ())
            made.append(
                Decoded(Record(partition, offset, 0, None, None), event if chance.random() < 0.95 else None, None)
            )
    return made


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("seed", range(5))
def test_each_shard_gets_the_records_after_its_positions(shards: int, seed: int) -> None:
    chance = random.Random(seed)
    generation = Generation(0, shards, VERSION, "n")
    reached = {ONE: 900, OTHER: 700}
    # A shard may have stored nothing, half, or all of a partition.
    shard_positions: list[dict[Partition, int | None]] = [
        {partition: chance.choice((None, 0, end // 2, end)) for partition, end in reached.items()}
        for _ in range(shards)
    ]
    made = window(chance, reached)
    cut = parts(generation, shard_positions, Trail(shards), made, reached)
    for shard, heads in enumerate(shard_positions):
        of_shard = [part for part in cut if part.shard == shard]
        wanted = [
            str(item.record)
            for item in made
            if (generation.shard_of(item.event.group_id) if item.event else 0) == shard
            and item.record.offset >= (heads[item.record.partition] or 0)
        ]
        assert sorted(str(item.record) for part in of_shard for item in part.items) == sorted(wanted)
        advances = {
            partition: (heads[partition], end) for partition, end in reached.items() if end > (heads[partition] or 0)
        }
        found = [{p: (a.start, a.stop) for p, a in part.advances.items()} for part in of_shard]
        assert found == ([{}] * (len(of_shard) - 1) + [advances] if advances else [])
        groups = [group_id for part in of_shard for group_id in part.groups]
        assert len(groups) == len(set(groups)), "a group is written once"
        assert all(len(part.groups) <= PART_GROUPS for part in of_shard)
    assert [part.shard for part in cut] == sorted(part.shard for part in cut)
    for part in cut:
        for items in part.groups.values():
            offsets = [(item.record.partition, item.record.offset) for item in items]
            assert offsets == sorted(offsets), "in the order of the log"


def test_a_window_without_records_advances_the_position() -> None:
    (part,) = parts(Generation(0, 1, VERSION, "n"), [{ONE: 3}], Trail(1), [], {ONE: 5})
    assert (part.items, part.advances[ONE].start, part.advances[ONE].stop) == ([], 3, 5)
