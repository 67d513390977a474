"""The fold gives the same, correct bytes for any order, duplication and batching of events."""

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.logs.log import Partition, Record
from projector.project import Change, Known, decode_record, group_ids, known, project
from tests import oracle
from tests.strategies import histories

PARTITION = Partition("orders", 0)

# The stored content: group id -> bytes, and (index, group id) -> score.
Stored = tuple[dict[str, bytes], dict[str, bytes], dict[tuple[str, str], float]]


def records(events: list[dict[str, Any]]) -> list[Record]:
    return [Record(PARTITION, i, 0, None, json.dumps(event).encode()) for i, event in enumerate(events)]


def apply(stored: Stored, change: Change) -> None:
    """Applies a change to dicts, as commit.lua does to Redis."""
    states, documents, index = stored
    states.update(change.state)
    documents.update((group_id, row[:-1] + change.rest[group_id]) for group_id, row in change.row.items())
    for group_id in change.unlisted:
        del documents[group_id]
    for name, members in change.remove.items():
        for group_id in members:
            del index[name, group_id]
    for name, flat in change.add.items():
        for score, member in zip(flat[::2], flat[1::2], strict=True):
            index[name, str(member)] = float(score)


def fold(events: list[dict[str, Any]], cuts: list[int], cached: bool) -> Stored:
    stored: Stored = ({}, {}, {})
    cache: dict[str, Known] = {}
    log = records(events)
    for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True):
        batch = [decode_record(record) for record in log[start:stop]]
        before = {
            group_id: cache.pop(group_id) if cached and group_id in cache else known(group_id, stored[0].get(group_id))
            for group_id in group_ids(batch)
        }
        change = project(before, batch)
        apply(stored, change)
        cache.update(change.after)
        assert sum(sum(fates.values()) for fates in change.tally.values()) == stop - start
    return stored


@given(histories(), st.randoms(use_true_random=False), st.data())
def test_order_duplicates_and_batches_do_not_matter(
    events: list[dict[str, Any]], chance: random.Random, data: st.DataObject
) -> None:
    shuffled = events + [chance.choice(events) for _ in range(chance.randrange(4))]
    chance.shuffle(shuffled)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)))))
    assert fold(shuffled, cuts, cached=chance.random() < 0.5) == fold(events, [], cached=False)


@given(histories())
def test_the_result_follows_the_contract(events: list[dict[str, Any]]) -> None:
    _, documents, index = fold(events, [], cached=False)
    expected = oracle.groups(events)
    assert {group_id: oracle.parse(document) for group_id, document in documents.items()} == expected
    entries: dict[tuple[str, str], float] = {}
    for document in expected.values():
        entries |= oracle.entries(document)
    assert index == entries
