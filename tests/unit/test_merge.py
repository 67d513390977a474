"""Pages out of several shards' lists, with lists of this process in the place of shards."""

import random
from collections.abc import Callable, Sequence
from itertools import count, cycle
from math import ceil, inf

import pytest

from api.params.query import parse_list
from projector.readmodel.query import calls
from projector.readmodel.query.calls import HEADS, NO_PARTS, WHOLE, Window
from projector.readmodel.query.page.merge import Part, Place, merged, part
from projector.readmodel.query.page.paging import ROUNDS_MAX, Paging
from projector.readmodel.query.page.spans import LADDER, LADDER_SELECTED, Ladder, Span, guess, narrowed, windows
from projector.readmodel.query.query import Query
from tests.thorough import thorough


def reply(places: list[Place], window: Window, rough: float = 0.0, sides: Sequence[int] = (0,)) -> list[object]:
    """As window.lua answers. `rough`: of a step, by how much it takes other places than it is asked for; `sides`: those
    before, or behind them, by turns.
    """
    start, end, step, parts = window
    off = ceil(step * rough) - 1 if step > 1 and rough else 0
    ranks = range(start, min(end, len(places)), step or 1)
    told = [
        places[max(0, min(rank + side * off, len(places) - 1))] for rank, side in zip(ranks, cycle(sides), strict=False)
    ]
    ids = [group_id for _, group_id in told]
    if not step and parts:
        return [[], len(places), ids]
    scores = [repr(score).encode() for score, _ in told] if step else []
    return [[], len(places), ids, scores, (ids if step == 1 else []) if parts else [b"0", b"", b""]]


def query(offset: int, limit: int, *, descending: bool) -> Query:
    parsed = parse_list(f"offset={offset}&limit={limit}&order={'-' if descending else ''}total")
    assert isinstance(parsed, Query)
    return parsed


def rounds(
    shards: list[list[Place]],
    asked: Query,
    ladder: Ladder = LADDER,
    change: Callable[[], None] = lambda: None,
    sides: Sequence[int] = (1, 0, -1),
) -> tuple[int, list[bytes], int]:
    """The count, the ids, and how many rounds it took. `change` is called between two."""
    paging = Paging(asked, HEADS, rotated=False, ladder=ladder)
    for number in range(1, ROUNDS_MAX + 1):
        windows = paging.windows(len(shards))
        page = paging.page(
            [reply(places, one, ladder.rough, sides) for places, one in zip(shards, windows, strict=True)]
        )
        if page is not None:
            return page.count, list(page.told), number
        change()
    raise AssertionError(f"not within {ROUNDS_MAX} rounds: {asked}")


def dealt(rng: random.Random, number: int, shards: int, scores: int, *, evenly: bool) -> list[list[Place]]:
    found: list[list[Place]] = [[] for _ in range(shards)]
    for n in range(number):
        place = (float(rng.randrange(scores)), b"%x-%d" % (rng.getrandbits(40), n))
        found[rng.randrange(shards) if evenly else min(shards - 1, rng.getrandbits(2))].append(place)
    return found


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("evenly", [True, False])
@pytest.mark.parametrize(
    ("number", "scores"), [(0, 1), (1, 1), (40, 3), (2000, 10), (3000, 10**6), *thorough((30_000, 1), (30_000, 10**6))]
)
@pytest.mark.parametrize("told_rows", [10**9, 100, -1])
@pytest.mark.parametrize("shards", [1, 2, 16])
def test_every_page_is_that_of_one_list(
    monkeypatch: pytest.MonkeyPatch,
    shards: int,
    told_rows: int,
    number: int,
    scores: int,
    evenly: bool,
    descending: bool,
) -> None:
    monkeypatch.setattr(calls, "TOLD_ROWS", told_rows)
    rng = random.Random(number)
    lists = [sorted(one, reverse=descending) for one in dealt(rng, number, shards, scores, evenly=evenly)]
    whole = [group_id for _, group_id in sorted((place for one in lists for place in one), reverse=descending)]
    took = []
    for offset in (0, 1, 50, number // 2, rng.randrange(number + 1), number - 1, number, 2**60):
        for limit in (0, 1, 50, 1000):
            asked = query(max(0, offset), limit, descending=descending)
            found, ids, round_ = rounds(lists, asked)
            assert (found, ids) == (number, whole[asked.offset : asked.offset + limit])
            took.append(round_)
    assert max(took) <= (3 if evenly else 5)
    assert took.count(1) > len(took) / 3


@pytest.mark.parametrize(
    ("ladder", "sides"), [(LADDER, [0]), (LADDER_SELECTED, [1]), (LADDER_SELECTED, [-1]), (LADDER_SELECTED, [1, 0, -1])]
)
@pytest.mark.parametrize(
    ("shards", "numbers"),
    [
        *((shards, (500, 3000, 20_000)) for shards in (2, 3, 8, 16, 64)),
        *thorough(*((shards, (500, 3000, 20_000, 100_000)) for shards in (2, 3, 8, 16, 64, 256, 1000))),
    ],
)
def test_few_rounds_find_any_page(numbers: tuple[int, ...], shards: int, ladder: Ladder, sides: list[int]) -> None:
    rng = random.Random(shards)
    took = []
    for number in numbers:
        descending = rng.random() < 0.5
        lists = [sorted(one, reverse=descending) for one in dealt(rng, number, shards, 10**6, evenly=True)]
        whole = [group_id for _, group_id in sorted((place for one in lists for place in one), reverse=descending)]
        for offset in (0, 50, *(rng.randrange(number) for _ in range(6 if shards < 256 else 2))):
            asked = query(offset, 50, descending=descending)
            found, ids, round_ = rounds(lists, asked, ladder, sides=sides)
            assert (found, ids) == (number, whole[offset : offset + 50])
            took.append(round_)
    assert max(took) <= 4
    assert took.count(1) < len(took)


@pytest.mark.parametrize("ladder", [LADDER, LADDER_SELECTED])
@pytest.mark.parametrize("shards", [16, *thorough(2, 64)])
def test_lists_that_change_between_the_rounds(shards: int, ladder: Ladder) -> None:
    """A thousandth moves to the front each time, as what is updated does."""
    rng = random.Random(shards)
    lists = [sorted(one) for one in dealt(rng, 100_000, shards, 10**6, evenly=True)]
    fronts = count()

    def change() -> None:
        for number in rng.choices(range(shards), k=100):
            _, group_id = lists[number].pop(rng.randrange(len(lists[number])))
            lists[number].insert(0, (-float(next(fronts)), group_id))

    took = []
    for offset in (500, 10_000, 60_000, 90_000):
        found, ids, round_ = rounds(lists, query(offset, 50, descending=False), ladder, change)
        whole = sorted(place for one in lists for place in one)
        assert (found, ids) == (100_000, [group_id for _, group_id in whole[offset : offset + 50]])
        took.append(round_)
    assert 1 < max(took) <= 5


def test_a_deep_page_reads_few_documents() -> None:
    rng = random.Random(1)
    shards = 16
    for offset in (50_000, 100_000):
        spans = guess(shards, offset, 50)
        lists = [sorted(one) for one in dealt(rng, 200_000, shards, 10**6, evenly=True)]
        first = windows(spans, 50, HEADS)
        assert all(window.step > 1 for window in first)
        parts = [
            part(window, reply(places, window)[1:], rotated=False) for window, places in zip(first, lists, strict=True)
        ]
        second = windows(narrowed(parts, offset, 50, descending=False), 50, HEADS)
        assert all(window.step == 1 for window in second)
        assert sum(end - start for start, end, _, _ in second) < 400


def told(count: int, start: int, *places: Place) -> Part:
    return Part(count, start, 1, list(places), [group_id for _, group_id in places])


A, B, C, D = (1.0, b"a"), (1.0, b"b"), (2.0, b"a0"), (3.0, b"d")


@pytest.mark.parametrize(
    ("parts", "offset", "limit", "expected"),
    [
        ([told(2, 0, A, C), told(2, 0, B, D)], 0, 4, [b"a", b"b", b"a0", b"d"]),
        ([told(2, 0, A, C), told(2, 0, B, D)], 1, 2, [b"b", b"a0"]),
        # What comes after B in the second shard is not shown, and may come before C.
        ([told(2, 0, A, C), told(2, 0, B)], 0, 2, [b"a", b"b"]),
        ([told(2, 0, A, C), told(2, 0, B)], 0, 3, None),
        # What comes before C in the first shard is not shown, and may come after B.
        ([told(2, 1, C), told(2, 0, B, D)], 0, 1, None),
        ([told(2, 1, C), told(2, 0, B, D)], 1, 1, None),
        ([told(2, 1, C), told(2, 0, B, D)], 2, 2, [b"a0", b"d"]),
        ([told(2, 2), told(2, 0, B, D)], 3, 1, None),
        ([told(2, 2), told(2, 0, B, D)], 4, 1, []),
        ([told(0, 0), told(2, 0, B, D)], 1, 9, [b"d"]),
    ],
)
def test_only_what_is_certain_is_a_page(
    parts: list[Part], offset: int, limit: int, expected: list[bytes] | None
) -> None:
    assert merged(parts, offset, limit, descending=False) == expected


def test_ties_are_broken_by_bytes_in_the_direction_of_the_list() -> None:
    parts = [told(1, 0, (1.0, "é".encode())), told(2, 0, (1.0, b"z"), (1.0, b"Z"))]
    assert merged(parts, 0, 3, descending=True) == ["é".encode(), b"z", b"Z"]


def test_what_has_no_number_comes_last_in_either_direction() -> None:
    window = Window(0, 2, 1, HEADS)
    replies: list[list[object]] = [[1, [b"x"], [b"inf"], [b"X"]], [1, [b"y"], [b"-3.5"], [b"Y"]]]
    rotated = [part(window, one, rotated=True) for one in replies]
    assert [one.places[0][0] for one in rotated] == [-inf, -3.5]
    assert merged(rotated, 0, 2, descending=True) == [b"Y", b"X"]
    assert merged([part(window, one, rotated=False) for one in replies], 0, 2, descending=False) == [b"Y", b"X"]


def test_a_page_near_the_start_is_read_at_once() -> None:
    assert guess(2, 0, 1) == [Span(0, 1)] * 2
    assert guess(16, 0, 50) == [Span(0, 14)] * 16
    assert {window.step for window in windows(guess(16, 200, 50), 50, HEADS)} == {1}


@pytest.mark.parametrize(
    ("shards", "offset", "limit", "is_known", "wanted", "parts"),
    [
        (1, 0, 100, False, HEADS, HEADS),
        (1, 0, 101, False, HEADS, NO_PARTS),
        (1, 0, 101, True, HEADS, -HEADS),
        (2, 0, 50, False, HEADS, HEADS),
        # Each shard would have to tell more than a hundred for a page of fifty.
        (2, 900, 50, False, HEADS, NO_PARTS),
        (2, 900, 50, True, HEADS, -HEADS),
        (16, 200, 50, False, HEADS, HEADS),
        # One whole document may be a quarter of a megabyte.
        (1, 0, 10, False, WHOLE, WHOLE),
        (1, 0, 11, False, WHOLE, NO_PARTS),
        (1, 0, 11, True, WHOLE, -WHOLE),
        (2, 0, 50, False, WHOLE, NO_PARTS),
    ],
)
def test_of_many_rows_no_documents_are_told(
    shards: int, offset: int, limit: int, is_known: bool, wanted: int, parts: int
) -> None:
    paging = Paging(query(offset, limit, descending=False), wanted, rotated=False)
    asked = paging.windows(shards, is_known=is_known)
    assert {window.parts for window in asked} == {parts}
    assert {window.step for window in asked} == {int(shards > 1)}
    assert paging.is_read_after == (parts != wanted)


def test_a_ladder_has_nothing_to_be_read_after_it() -> None:
    paging = Paging(query(500_000, 1000, descending=False), HEADS, rotated=False)
    assert min(window.step for window in paging.windows(2, is_known=True)) > 1
    assert not paging.is_read_after
