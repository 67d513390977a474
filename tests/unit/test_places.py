"""Groups of a page that a script tells as bits: what is asked of each shard, and what is known then."""

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.calls import HEADS
from projector.readmodel.query.lua.scripts import PLACES
from projector.readmodel.query.page import places as module
from projector.readmodel.query.page.known import UNLISTED, Known, Placed
from projector.readmodel.query.page.places import Places
from projector.readmodel.schema.keys import Generation

MOMENT = [b"9", b"og_8", b"3:"]


def live(number: int, shards: int) -> ActiveGeneration:
    generation = Generation(number, shards, 4, "n")
    return ActiveGeneration(b"", None, generation, b"", tuple(generation.keys(shard) for shard in range(shards)), ())


def known_in(served: ActiveGeneration, *bitmaps: bytes) -> list[Known]:
    """Of shards in which groups are told as these bits, or none are."""
    return [
        Known(served.generation, [[], UNLISTED, 9, [[bits, 0, 0, 8]] if bits else [], MOMENT], HEADS)
        for bits in bitmaps
    ]


def test_each_shard_is_asked_for_its_groups_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_GROUPS", 3)
    served = live(1, 3)
    known = known_in(served, bytes([0b01010011, 0b10000000]), b"", bytes([0b00000001]))
    places = Places(known, "total")
    prefix = "og:{1.%d}:"
    names = [[prefix % n + name for name in ("ordinal", "by:total", "absent")] for n in range(3)]
    head = [("EVALSHA", PLACES.digest, "3", *some) for some in names]
    assert places.slices(served) == [(*head[0], "1", "3", "6"), ("PING",), (*head[2], "7")]
    places.take([[[b"a", b"b", b"c"], [b"1", b"2", b"3"]], b"PONG", [[b"z"], [b"9"]]])
    assert not places.is_done
    assert places.slices(served) == [(*head[0], "7", "8"), ("PING",), ("PING",)]
    # One that has left the list meanwhile.
    places.take([[[b"d", b"e"], [b"4", None]], b"PONG", b"PONG"])
    assert places.is_done
    assert known[0].places == {1: Placed(b"a", b"1"), 3: (b"b", b"2"), 6: (b"c", b"3"), 7: (b"d", b"4")}
    assert known[0].unplaced == [8]
    assert known[2].places == {7: (b"z", b"9")}


def test_another_generation_has_other_groups() -> None:
    known = known_in(live(1, 1), b"\x18")
    places = Places(known, "total")
    assert places.slices(live(2, 3)) == [("PING",)] * 3
    # Also where the first one is live again before anybody has looked.
    assert places.slices(live(1, 1)) == [("PING",)]
    places.take([b"PONG"])
    assert places.is_done
    assert known[0].unplaced == [3, 4]
