"""What is known of a shard after some calls, and the order in which its groups are told."""

import random
from math import inf

import msgspec
import pytest

from projector.readmodel.query.calls import HEADS, WHOLE
from projector.readmodel.query.page.known import TOLD_HEADS, TOLD_WHOLE, UNLISTED, Known, Placed
from projector.readmodel.schema.keys import Generation

GENERATION = Generation(1, 1, 4, "n")
POSITION: list[bytes] = []
MOMENT, LATER = [b"9", b"og_8", b"3:"], [b"12", b"og_11", b"5:"]
# By its ordinal: id and score of each group, with ties, and some without a value.
GROUPS = {
    n: Placed(b"og_%d" % (7 * n % 1000), random.Random(n).choice((b"1.5", b"-3", b"20", b"inf"))) for n in range(1000)
}


def bits(ordinals: list[int], base: int = 0) -> bytes:
    """As SETBIT makes them, without the first `base` bytes."""
    made = bytearray(max(ordinals) // 8 + 1)
    for ordinal in ordinals:
        made[ordinal // 8] |= 128 >> ordinal % 8
    return bytes(made[base:])


def told_as_bits(ordinals: list[int], moment: list[bytes] = MOMENT) -> list[object]:
    return [POSITION, UNLISTED, len(ordinals), [[bits(ordinals), 0, 0, len(ordinals) - 1]], moment]


def known_of(known: Known) -> tuple[set[str], set[int]]:
    """What its arguments say that it knows: ids, ordinals."""
    ids, ordinals = known.arguments()[:2]
    assert isinstance(ids, bytes)
    assert isinstance(ordinals, bytes)
    return set(msgspec.msgpack.decode(ids)), {n for n in range(8 * len(ordinals)) if ordinals[n // 8] & 128 >> n % 8}


@pytest.mark.parametrize(("descending", "rotated"), [(False, False), (True, False), (True, True)])
def test_bits_are_told_as_if_the_script_had_listed_them(descending: bool, rotated: bool) -> None:
    rng = random.Random(4)
    some, others = sorted(rng.sample(range(512, 1000), 70)), [0, 7, 8, 999]
    parts = [[b"og_first", b"5"], [bits(some, 64), 64, 10, 40], [bits(others), 0, 0, 1]]
    known = Known(GENERATION, [POSITION, UNLISTED, 77, parts, MOMENT], HEADS)
    assert known.unplaced == some + others
    known.places.update((n, GROUPS[n]) for n in some)
    assert known.unplaced == others
    known.places.update((n, GROUPS[n]) for n in others)
    assert known.unplaced == []

    def place(ordinal: int) -> tuple[float, bytes]:
        group_id, score = GROUPS[ordinal]
        return -inf if rotated and score == b"inf" else float(score), group_id

    expected = [(b"og_first", b"5")]
    expected += [GROUPS[n] for n in sorted(some, key=place, reverse=descending)[10:41]]
    expected += [GROUPS[n] for n in sorted(others, key=place, reverse=descending)[:2]]
    position, count, ids, scores, moment = known.listed(descending, rotated)
    assert (position, count, moment) == (POSITION, 77, MOMENT)
    assert list(zip(ids, scores, strict=True)) == expected  # type: ignore[call-overload]


def test_what_the_script_lists_itself_is_told_as_it_is() -> None:
    reply: list[object] = [POSITION, 2, [b"og_x"], [b"7"], MOMENT]
    known = Known(GENERATION, reply, HEADS)
    assert known.unplaced == []
    assert known.listed(False, False) == reply


@pytest.mark.parametrize(("parts", "most"), [(HEADS, TOLD_HEADS), (WHOLE, TOLD_WHOLE)])
def test_what_is_known(parts: int, most: int) -> None:
    known = Known(GENERATION, told_as_bits([1, 2, 3]), parts)
    assert known_of(known) == (set(), set())
    known.places.update({1: GROUPS[1], 2: GROUPS[2]})
    # Of the ordinal 2 there is no document yet; of the id "other" nobody knows the ordinal.
    known.rows.update({GROUPS[1].group_id: b"{}", b"other": b"{}"})
    assert known_of(known) == ({GROUPS[1].group_id.decode(), "other"}, {1})
    assert known.unread == [GROUPS[2].group_id]
    assert known.arguments()[2:5] == tuple(MOMENT)
    assert known.arguments()[-1] == str(most)
    # The next time twice as much is told: so it comes to an end.
    known.renew([*told_as_bits([1], LATER), [[[], []], [], [], [], []]])
    assert known.arguments()[-1] == str(2 * most)


def test_what_changed_is_forgotten_and_what_is_told_is_known() -> None:
    known = Known(GENERATION, told_as_bits([1, 2, 3]), HEADS)
    known.places.update({n: GROUPS[n] for n in (1, 2, 3)})
    known.rows.update({GROUPS[n].group_id: b"{}" for n in (1, 2, 3)})
    # The first of those that are told are among the bits.
    changed = [[GROUPS[2].group_id, b"new"], [2, 12]]
    told = [[GROUPS[4].group_id, b"new"], [b'{"n":4}', b'{"n":12}'], [4], [b"17"]]
    known.renew([*told_as_bits([1, 2, 3, 4], LATER), [changed, *told]])
    assert known.unplaced == [2]
    assert known.places == {1: GROUPS[1], 3: GROUPS[3], 4: Placed(GROUPS[4].group_id, b"17")}
    assert known.rows == {
        GROUPS[1].group_id: b"{}",
        GROUPS[3].group_id: b"{}",
        GROUPS[4].group_id: b'{"n":4}',
        b"new": b'{"n":12}',
    }
    assert known_of(known) == ({one.decode() for one in known.rows}, {1, 3, 4})
    assert known.moment == LATER


def test_all_is_forgotten_where_nobody_knows_what_changed() -> None:
    known = Known(GENERATION, told_as_bits([1, 2]), HEADS)
    known.places[1], known.rows[GROUPS[1].group_id] = GROUPS[1], b"{}"
    known.renew([*told_as_bits([1, 2], LATER), [None, [GROUPS[2].group_id], [b"[]"], [2], [b"1"]]])
    assert known.places == {2: Placed(GROUPS[2].group_id, b"1")}
    assert known.rows == {GROUPS[2].group_id: b"[]"}
