"""At any positions the expected records are what the contract says; where two values differ, the place is named."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.logs.log import Partition, Record
from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import Columns
from projector.readmodel.schema.keys import Generation
from projector.verify.difference import ABSENT, describe, differing, first_difference
from projector.verify.expected import Refold
from projector.verify.planes import bitmap_of, differing_places, own_bitmaps
from projector.verify.sample import ALL
from projector.verify.snapshot import Snapshot, Totals, bits_of, expected_snapshot, kind, scores_of
from projector.verify.tables import Tables
from tests import oracle, stored
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
    with closing(Tables()) as tables, closing(Refold(log, generation, tables, lambda call: call(), ALL)) as refold:
        for stop in stops:
            changed: list[str] = []
            refold.advance({ORDERS: stop}, changed.extend)
            check(refold, tables, shards, events[:stop])
            assert refold.positions == {ORDERS: stop}


def check(refold: Refold, tables: Tables, shards: int, events: list[dict[str, Any]]) -> None:
    ids = sorted({event["data"]["order_group_id"] for event in events})
    snapshots = refold.snapshots([*ids, "og_stranger"])
    records = {group_id: snapshot.record or b"" for group_id, snapshot in snapshots.items()}
    assert sorted(records) == ids
    documents = {group_id: stored.document_of(group_id, record) for group_id, record in records.items()}
    listed = {group_id: document for group_id, document in documents.items() if document}
    assert listed == oracle.groups(events)
    again = Totals()
    members = Counter[str]({"record": len(ids), "row": len(listed)})
    for group_id, record in records.items():
        document, snapshot = documents[group_id], expected_snapshot(group_id, record)
        assert snapshots[group_id] == snapshot
        again.add(group_id, snapshot)
        assert snapshot.row == (stored.row(document) if document else None)
        assert snapshot.text == (stored.line(document) if document else b"")
        expected = oracle.entries(document) if document else {}
        assert scores_of(snapshot.indexed) == {index: score for (index, _), score in expected.items()}
        members.update(kind(index) for index, _ in expected)
    assert +refold.totals.members == members
    assert (refold.totals.documents, refold.totals.entries) == (again.documents, again.entries)
    for shard in range(shards):
        own = [group_id for group_id in ids if shard_of(group_id, shards) == shard]
        assert tables.expected_count(shard) == len(own)
        tables.begin_shard()
        tables.put_missing(shard)
        assert tables.take_candidates(1000) == {group_id: set() for group_id in own}


small = st.integers(-(2**40), 2**40)
columns = st.builds(Columns, small, small, st.integers(-(2**79), 2**79), st.integers(0, 1000), st.none() | small)
values = st.one_of(
    st.none(), st.binary(max_size=80), st.sampled_from([b'{"a":1}', b'{"a":[1,{"b":null}]}', b'{"a":1.0}'])
)
rows = st.builds(lambda head, json: json and head + json, st.sampled_from([b"a" * 34, b"b" * 34]), values)
names = st.lists(st.sampled_from(["of:status:a", "of:seller_id:b"]), unique=True).map(tuple)
held = st.none() | st.builds(Indexed, columns, names, st.just(b""))
snapshots = st.builds(Snapshot, values, rows, values.map(lambda one: one or b""), st.just({}), st.just({}), held)


@given(snapshots, snapshots)
def test_snapshots_differ_where_their_content_does(one: Snapshot, other: Snapshot) -> None:
    found = Snapshot(other.record, other.row, other.text, scores_of(other.indexed), bits_of(other.indexed))
    bits, own_bits = bits_of(one.indexed), bits_of(other.indexed)
    expected = {part for part in ("record", "row", "text") if getattr(one, part) != getattr(other, part)}
    scores, own_scores = scores_of(one.indexed), scores_of(other.indexed)
    expected |= {name for name in scores | own_scores if scores.get(name) != own_scores.get(name)}
    expected |= {name for name in own_bits if own_bits[name] != bits.get(name, 0)}
    assert set(differing(one, found)) == expected
    for what in expected:
        at, shown, actual = describe(what, one, found)
        assert shown != actual or at.startswith("byte")
    for part in ("row", "document"):
        if one.row != other.row:
            at, shown, actual = first_difference(part, one.row, other.row)
            assert at or ABSENT in (shown, actual)


@given(st.dictionaries(st.integers(0, 127), columns, max_size=20), st.integers(0, 127))
def test_bitmaps_of_a_range_are_those_of_its_groups(groups: dict[int, Columns], other: int) -> None:
    heads, listed, numbered = [bytes(34)] * 128, bytearray(b"0" * 128), bytearray(b"0" * 128)
    expected: dict[str, set[int]] = {}
    for ordinal, one in groups.items():
        heads[ordinal], listed[ordinal], numbered[ordinal] = head_of(one), 49, 48 + (one.display_id is not None)
        for field, value in one._asdict().items():
            for k in range(stored.SLICES[field]):
                if value is not None and value >> k & 1:
                    expected.setdefault(f"bits:by:{field}:{k}", set()).add(ordinal)
        expected.setdefault("bits:all", set()).add(ordinal)
        if one.display_id is not None:
            expected.setdefault("bits:has:display_id", set()).add(ordinal)
    found = dict(own_bitmaps(b"".join(heads), bytes(listed), bytes(numbered)))
    assert {name: stored.bits(bitmap) for name, bitmap in found.items() if any(bitmap)} == expected
    assert len(found) == 2 + sum(stored.SLICES.values())
    for bitmap in found.values():
        ones = stored.bits(bitmap)
        assert bitmap_of(ones, 128) == bitmap
        assert list(differing_places(bitmap, bitmap_of(ones ^ {other}, 128))) == [other]


def head_of(one: Columns) -> bytes:
    number = -(2**55) if one.display_id is None else one.display_id
    sizes = zip((*one[:4], number), (7, 7, 11, 2, 7), strict=True)
    return b"".join(value.to_bytes(size, "big", signed=True) for value, size in sizes)
