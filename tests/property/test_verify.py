"""At any positions the expected snapshots are what the contract says; where two values differ, the place is named."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.logs.log import Partition, Record
from projector.fold.view import Entries
from projector.readmodel.schema.keys import Generation
from projector.verify.difference import ABSENT, agree, differing, first_difference
from projector.verify.expected import Refold
from projector.verify.sample import ALL
from projector.verify.snapshot import Digest, GroupSnapshot, digest
from projector.verify.tables import SUBJECT, Tables
from tests import oracle
from tests.readmodel import shard_of
from tests.strategies import histories

ORDERS = Partition("orders", 0)


class ListLog:
    """A log and its reader in one."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._records = [Record(ORDERS, n, 0, None, json.dumps(event).encode()) for n, event in enumerate(events)]
        self.positions = {ORDERS: 0}

    def first(self) -> dict[Partition, int]:
        return {ORDERS: 0}

    def read(self, start: Mapping[Partition, int]) -> "ListLog":
        return self

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        found = self._records[self.positions[ORDERS] : stop[ORDERS]]
        self.positions = dict(stop)
        return found

    def close(self) -> None: ...


@given(histories(max_size=20), st.integers(1, 3), st.data())
def test_a_refold_is_what_the_contract_says_at_every_stop(
    events: list[dict[str, Any]], shards: int, data: st.DataObject
) -> None:
    stops = sorted(data.draw(st.sets(st.integers(0, len(events)), min_size=1)))
    log: Any = ListLog(events)
    generation = Generation(0, shards, 1)
    with closing(Tables(10)) as tables, closing(Refold(log, generation, tables, lambda call: call(), ALL)) as refold:
        for stop in stops:
            changed: list[str] = []
            refold.advance({ORDERS: stop}, changed.extend)
            check(refold, tables, shards, events[:stop])
            assert refold.positions == {ORDERS: stop}


def check(refold: Refold, tables: Tables, shards: int, events: list[dict[str, Any]]) -> None:
    ids = sorted({event["data"]["order_group_id"] for event in events})
    assert sorted(group_id for batch in tables.batches(1) for group_id in batch) == ids
    snapshots = refold.snapshots([*ids, "og_stranger"])
    assert snapshots.pop("og_stranger") == GroupSnapshot()
    documents = {i: oracle.parse(p.row[:-1] + p.rest) for i, p in snapshots.items() if p.row and p.rest}
    assert documents == oracle.groups(events)
    entries: dict[tuple[str, str], float] = {}
    for document in documents.values():
        entries |= oracle.entries(document)
    assert {(n, i): s for i, p in snapshots.items() for n, s in p.entries.items()} == entries
    sizes = Counter((shard_of(group_id, shards), name) for name, group_id in entries)
    sizes.update((shard_of(group_id, shards), part) for group_id in documents for part in ("row", "rest", "text"))
    sizes.update((shard_of(group_id, shards), "state") for group_id in ids)
    names = {name for _, name in sizes} | {"by:id", "of:status:pending"}
    for shard in range(shards):
        found = tables.sizes(SUBJECT, shard, sorted(names))
        assert {name: found.get(name, 0) for name in names} == {name: sizes[shard, name] for name in names}
    assert all(
        tables.total(SUBJECT, kind) == sum(n for (_, name), n in sizes.items() if name.startswith(kind))
        for kind in ("by:total", "of:customer_id", "of:status", "text", "state")
    )


values = st.one_of(
    st.none(), st.binary(max_size=80), st.sampled_from([b'{"a":1}', b'{"a":[1,{"b":null}]}', b'{"a":1.0}'])
)
scores: st.SearchStrategy[Entries] = st.dictionaries(
    st.sampled_from(["by:id", "by:total", "of:status:pending"]), st.sampled_from([0, 1.5, float("inf")])
)
snapshots = st.builds(GroupSnapshot, values, values, values, values, scores)


@given(snapshots, snapshots)
def test_snapshots_differ_where_their_digests_do(one: GroupSnapshot, other: GroupSnapshot) -> None:
    found = list(differing(one, other))
    assert (one == other) == (not found) == (digest("og_1", one) == digest("og_1", other))
    for part in ("row", "rest", "text", "state"):
        if part in found:
            at, expected, actual = first_difference(part, getattr(one, part), getattr(other, part))
            assert at or ABSENT in (expected, actual)
            assert expected != actual or at.startswith("byte")


found_bits = st.dictionaries(
    st.sampled_from(["ordinal", "bits:all", "bits:by:total", "bits:of:status:pending"]),
    st.sampled_from([-1, 0, 1, 2, 2**19]),
)


@given(snapshots, snapshots, found_bits)
def test_snapshots_agree_where_nothing_differs(
    expected: GroupSnapshot, found: GroupSnapshot, bits: dict[str, int]
) -> None:
    for one in (expected, found):
        seen = GroupSnapshot(one.row, one.rest, one.text, one.state, one.entries, bits)
        assert agree(expected, seen) == (not list(differing(expected, seen)))
        assert digest("og_1", seen) == digest("og_1", one)


@given(st.lists(st.tuples(st.text(), snapshots), max_size=8), st.randoms(use_true_random=False))
def test_digests_do_not_depend_on_the_order(groups: list[tuple[str, GroupSnapshot]], chance: random.Random) -> None:
    shuffled = [
        (group_id, GroupSnapshot(p.row, p.rest, p.text, p.state, dict(reversed(p.entries.items()))))
        for group_id, p in groups
    ]
    chance.shuffle(shuffled)
    sums = [sum((digest(*group) for group in some), Digest()) for some in (groups, shuffled)]
    assert sums[0] == sums[1]
    assert sum((Digest() - digest(*group) for group in groups), sums[0]) == Digest()
