"""Groups of a page that a script tells as bits: what is asked of each shard, and the order in which they are told."""

import random
from math import inf

import pytest

import api.places
from api.live import Live
from api.places import UNLISTED, Places
from projector.readmodel.keys import Generation

POSITION: list[bytes] = []
MOMENT = [b"9", b"og_8", b"3:"]
# By its ordinal: id and score of each group, with ties, and some without a value.
GROUPS = {n: (b"og_%d" % (7 * n % 1000), random.Random(n).choice((b"1.5", b"-3", b"20", b"inf"))) for n in range(1000)}


def live(number: int, shards: int) -> Live:
    generation = Generation(number, shards, 4, "n")
    return Live(b"", None, generation, b"", tuple(generation.keys(shard) for shard in range(shards)), ())


def bits(ordinals: list[int], base: int) -> bytes:
    """As SETBIT makes them, without the first `base` bytes."""
    made = bytearray(max(ordinals) // 8 + 1)
    for ordinal in ordinals:
        made[ordinal // 8] |= 128 >> ordinal % 8
    return bytes(made[base:])


def answered(places: Places, served: Live) -> None:
    """As places.lua answers."""
    while not places.is_done:
        told: list[object] = []
        for command in places.slices(served):
            if command == ("PING",):
                told.append(b"PONG")
                continue
            asked = [GROUPS[int(ordinal)] for ordinal in command[5:]]
            told.append([[group_id for group_id, _ in asked], [score for _, score in asked]])
        places.take(told)


@pytest.mark.parametrize(("descending", "rotated"), [(False, False), (True, False), (True, True)])
def test_they_are_told_as_if_the_script_had_listed_them(
    descending: bool, rotated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.places, "SLICE_GROUPS", 30)
    rng, served = random.Random(4), live(1, 2)
    some, others = sorted(rng.sample(range(512, 1000), 70)), [0, 7, 8, 999]
    parts = [[b"og_first", b"5"], [bits(some, 64), 64, 10, 40], [bits(others, 0), 0, 0, 1]]
    beside = [POSITION, 2, [b"og_x"], [b"7"], MOMENT]
    places = Places(
        served, [[POSITION, UNLISTED, 77, parts, MOMENT], beside], "total", descending=descending, rotated=rotated
    )
    assert places.counts == [74, 0]
    assert places.replies() is None, "not listed yet"
    answered(places, served)

    def place(ordinal: int) -> tuple[float, bytes]:
        group_id, score = GROUPS[ordinal]
        return -inf if rotated and score == b"inf" else float(score), group_id

    expected = [(b"og_first", b"5")]
    expected += [GROUPS[n] for n in sorted(some, key=place, reverse=descending)[10:41]]
    expected += [GROUPS[n] for n in sorted(others, key=place, reverse=descending)[:2]]
    replies = places.replies()
    assert replies is not None
    position, count, ids, scores, moment, listed = replies[0]
    assert (position, count, moment) == (POSITION, 77, MOMENT)
    assert list(zip(ids, scores, strict=True)) == expected  # type: ignore[call-overload]
    assert sorted(listed) == sorted(GROUPS[n][0] for n in some + others)  # type: ignore[call-overload]
    assert replies[1] == beside


def test_one_that_is_gone_from_the_list() -> None:
    served = live(1, 1)
    reply = [POSITION, UNLISTED, 2, [[bits([3, 4], 0), 0, 0, 1]], MOMENT]
    places = Places(served, [reply], "total", descending=False, rotated=False)
    assert [command[5:] for command in places.slices(served)] == [("3", "4")]
    places.take([[[b"a", b"b"], [b"1", None]]])
    assert places.is_done
    assert places.replies() is None


def test_another_generation_has_other_groups() -> None:
    reply = [POSITION, UNLISTED, 2, [[bits([3, 4], 0), 0, 0, 1]], MOMENT]
    places = Places(live(1, 1), [reply], "total", descending=False, rotated=False)
    assert places.slices(live(2, 3)) == [("PING",)] * 3
    places.take([b"PONG"] * 3)
    assert places.is_done
    assert places.replies() is None
