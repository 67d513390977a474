"""Anchors: digests of applied records."""

from itertools import pairwise

import pytest
from msgspec import structs

from events.logs.log import Partition, Record
from projector.anchors import ANCHORS_MAX, Anchor, Anchors, anchor_of, anchors_at, newest_anchors, packed, unpacked

ONE, OTHER = Partition("orders", 0), Partition("orders", 1)
RECORD = Record(ONE, 5, 1_780_000_000_000, b"key", b"value", (("name", b"one"), ("other", b"")), 3)


def test_digests_are_stable() -> None:
    assert anchor_of(RECORD) == Anchor(5, "0b7c31a8e0363f21", 3)


@pytest.mark.parametrize(
    "other",
    [
        {"timestamp_ms": 1_780_000_000_001},
        {"key": None},
        {"key": b""},
        {"value": None},
        {"key": b"keyv", "value": b"alue"},
        {"headers": ()},
        {"headers": (("name", b"one"),)},
        {"headers": (("other", b""), ("name", b"one"))},
        {"headers": (("nameo", b"ne"), ("other", b""))},
        {"headers": (("nam\udce9", b"one"), ("other", b""))},
        {"epoch": 4},
        {"epoch": None},
    ],
)
def test_any_difference_changes_the_digest(other: dict[str, object]) -> None:
    assert anchor_of(structs.replace(RECORD, **other)) != anchor_of(RECORD)


def test_newest_anchors_of_each_partition() -> None:
    records = [structs.replace(RECORD, partition=p, offset=n) for n in (7, 8) for p in (ONE, OTHER)]
    assert newest_anchors(records[:3]) == {ONE: anchor_of(records[2]), OTHER: anchor_of(records[1])}


@pytest.mark.parametrize("step", [1, 7, 100, 20_000])
def test_older_anchors_are_sparser(step: int) -> None:
    last: Anchors | None = None
    applied = []
    for offset in range(0, 20_000 * step, step):
        applied.append(offset)
        last = anchors_at(last, Anchor(offset, "", None), offset + 1)
        assert last is not None
        assert len(last.anchors) <= ANCHORS_MAX
        assert last.anchors[0].offset == offset
    assert last is not None
    offsets = [anchor.offset for anchor in last.anchors]
    assert offsets == sorted(set(offsets), reverse=True)
    assert set(offsets) <= set(applied)
    distances = [offsets[0] - offset for offset in offsets[1:]]
    assert distances[0] <= 4 * step
    # A dropped anchor always has a kept one nearby, which bounds where logs differ.
    assert all(farther < 64 * nearer for nearer, farther in pairwise(distances))
    assert distances[-1] >= applied[-1] / 64


def test_a_position_without_new_records_keeps_its_anchors() -> None:
    """After transaction markers, for example."""
    last = Anchors(6, (Anchor(5, "a", 0), Anchor(1, "b", 0)))
    assert anchors_at(last, None, 9) == Anchors(9, last.anchors)
    assert anchors_at(None, None, 9) is None
    assert anchors_at(last, Anchor(5, "a", 0), 9) == Anchors(9, last.anchors)


def test_anchors_past_the_position_are_dropped() -> None:
    last = anchors_at(Anchors(6, (Anchor(5, "a", 0),)), Anchor(99, "z", 0), 100)
    assert anchors_at(last, Anchor(49, "m", 0), 50) == Anchors(50, (Anchor(49, "m", 0), Anchor(5, "a", 0)))


def test_anchors_of_another_position_are_ignored() -> None:
    last = Anchors(6, (Anchor(5, "a", None),))
    stored = packed(last).encode()
    assert stored == b'[6,[[5,"a",null]]]'
    assert unpacked(stored, 6) == last
    assert unpacked(stored, 7) is unpacked(stored, None) is unpacked(None, 6) is unpacked(b"{}", 6) is None
    assert unpacked(b"[6,[]]", 6) is None
