"""The fold stores the same, correct bytes for any order, duplication and batching of events."""

import json
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.logs.log import Partition, Record
from projector.project import Known, decode_record, group_ids, project
from projector.readmodel.record.document import whole
from projector.store.commit import Advance, Outcome
from projector.store.request import request
from tests import oracle, readmodel
from tests.chaos.homes import SimulatedHome
from tests.strategies import histories

PARTITION = Partition("orders", 0)


def fold(events: Sequence[dict[str, Any]], cuts: list[int], cached: bool) -> SimulatedHome:
    """Applies the events in batches that end at `cuts`."""
    home, cache = SimulatedHome(), dict[str, Known]()
    generation = home.store.generation()
    log = [Record(PARTITION, i, 0, None, json.dumps(event).encode()) for i, event in enumerate(events)]
    for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True):
        batch = [decode_record(record) for record in log[start:stop]]
        ids = group_ids(batch)
        before = {group_id: cache.pop(group_id) for group_id in ids if cached and group_id in cache}
        loaded = home.store.load(generation, 0, [group_id for group_id in ids if group_id not in before])
        change = project(before | home.store.known(generation, 0, loaded), batch)
        sent = request(change, {PARTITION: Advance(start or None, stop)})
        assert home.store.commit(generation, 0, sent).outcome() is Outcome.STORED
        cache.update(change.after)
    return home


def stored_bytes(home: SimulatedHome) -> dict[str, tuple[bytes, bytes | None]]:
    """Returns record and row of each group: other bytes have their ordinals in them, by which they are found."""
    records, rows = (home.client.hgetall(readmodel.PREFIX + name) for name in ("record", "row"))
    members = {group_id: readmodel.member_of(home.client, group_id) for group_id in readmodel.ordinals(home.client)}
    return {group_id: (records[member], rows.get(member)) for group_id, member in members.items()}


@given(histories(), st.randoms(use_true_random=False), st.data())
def test_order_duplicates_and_batches_do_not_matter(
    events: list[dict[str, Any]], chance: random.Random, data: st.DataObject
) -> None:
    shuffled = events + [chance.choice(events) for _ in range(chance.randrange(4))]
    chance.shuffle(shuffled)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled) - 1)))) if len(shuffled) > 1 else []
    found, expected = fold(shuffled, cuts, cached=chance.random() < 0.5), fold(events, [], cached=False)
    assert stored_bytes(found) == stored_bytes(expected)
    one, other = readmodel.read(found.client), readmodel.read(expected.client)
    assert (one.documents, one.entries, one.texts) == (other.documents, other.entries, other.texts)


@given(histories())
def test_the_result_follows_the_contract(events: list[dict[str, Any]]) -> None:
    home = fold(events, [], cached=False)
    readmodel.check(readmodel.read(home.client), events)
    records = {group_id: record for group_id, (record, _) in stored_bytes(home).items()}
    served = {group_id: whole(group_id, record, with_relations=True) for group_id, record in records.items()}
    assert {group_id: oracle.parse(one) for group_id, one in served.items() if one} == oracle.groups(events)
