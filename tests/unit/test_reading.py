"""Reading the groups of an export: all of them, in order of arrival, few at a time, whatever the shards answer."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.client.active import ActiveGeneration, pointed
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.export.reading import GROUPS_MAX, READ_BYTES, Reading
from projector.readmodel.query.export.selection import Selection
from projector.readmodel.query.positions import NOTHING_LIVE
from projector.readmodel.schema.keys import VERSION
from tests.integration.seed import as_bitmap

HEAD = b"x" * 34
Rows = dict[int, tuple[bytes | None, bytes | None]]


def live(shards: int) -> ActiveGeneration:
    found = pointed(msgspec.json.encode({"number": 0, "shards": shards, "version": VERSION, "nonce": "n"}))
    assert isinstance(found, ActiveGeneration)
    return found


def answer(command: Command, rows: Rows) -> object:
    """As rows.lua: from the first group on, until they are too large together."""
    if command == NOTHING:
        return b"PONG"
    most, members = int(command[-2]), command[-1]
    assert isinstance(members, bytes)
    found = []
    size = 0
    for at in range(0, len(members), 4):
        if size >= most:
            break
        row, record = rows[int.from_bytes(members[at : at + 4], "big")]
        found.append((row, record))
        size += len(row or b"") + len(record or b"")
    return [[row for row, _ in found], [record for _, record in found]]


@given(st.integers(1, 5), st.integers(0, 900), st.randoms(use_true_random=False), st.sampled_from((10, 5_000, 100_000)))
def test_all_groups_are_passed_on_in_order_of_arrival_few_at_a_time(
    shards: int, groups: int, rng: random.Random, largest: int
) -> None:
    stored: list[Rows] = [{} for _ in range(shards)]
    for n in range(groups):
        shard = rng.randrange(shards)
        ordinal = max(stored[shard], default=-1) + rng.choice((1, 1, 1, 2, 300))
        row = None if rng.random() < 0.1 else HEAD + b"%d of %d: %d" % (ordinal, shard, n)
        stored[shard][ordinal] = row, row and b"r" * rng.randrange(largest)
    bits = [as_bitmap(rows) for rows in stored]
    generation = live(shards)
    selection = Selection(groups, bits, generation, NOTHING_LIVE)
    reading = Reading(selection, has_records=True)
    passed: list[bytes] = []
    vanished = rounds = 0
    while not reading.is_done:
        rounds += 1
        replies = [answer(command, rows) for command, rows in zip(reading.commands(generation), stored, strict=True)]
        reading.take(replies)
        some = reading.passed_on()
        assert len(some.rows) + some.vanished > 0, "each round gets on"
        assert len(some.rows) == len(some.records) <= GROUPS_MAX
        # What is read, and one record of each shard beyond that; some may be left from the round before.
        assert sum(map(len, some.records)) <= 2 * (READ_BYTES + shards * largest)
        passed += some.rows
        vanished += some.vanished
    arrivals = sorted((ordinal, shard) for shard, rows in enumerate(stored) for ordinal in rows)
    rows_in_order = [stored[shard][ordinal][0] for ordinal, shard in arrivals]
    assert passed == [row.removeprefix(HEAD) for row in rows_in_order if row is not None]
    assert vanished == rows_in_order.count(None)
    if largest == 10:
        assert rounds <= groups / GROUPS_MAX * 3 + 3


def test_a_shard_that_lacks_the_generation_ends_it() -> None:
    generation = live(1)
    reading = Reading(Selection(1, [as_bitmap([0])], generation, NOTHING_LIVE), has_records=False)
    reading.commands(generation)
    with pytest.raises(Unavailable, match="deleted while it was exported"):
        reading.take([None])
