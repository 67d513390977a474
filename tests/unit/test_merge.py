"""Pages out of several shards' lists, with lists of this process in the place of shards."""

import random
from collections.abc import Callable
from decimal import Decimal
from itertools import count

import pytest

from api.params.query import parse_list
from projector.readmodel.query.calls import Window
from projector.readmodel.query.page.merge import Group, Part, Place, Reply, merged, part
from projector.readmodel.query.page.paging import Paging
from projector.readmodel.query.page.spans import guess, narrowed, windows
from projector.readmodel.query.query import Query
from tests.integration.seed import columns_head
from tests.thorough import thorough


def row(place: Place) -> bytes:
    """The total of the place, and its ordinal as the document."""
    total = Decimal(place[0]) / 1_000_000
    group = {"created_at": 0, "updated_at": 0, "total": total, "seller_count": 1, "display_id": None}
    return columns_head(group) + b"%d" % place[1]


def reply(places: list[Place], window: Window) -> Reply:
    start, end, step = window
    found = [places[rank] for rank in range(start, min(end, len(places)), step)]
    rows = [row(place) if step == 1 else row(place)[:34] for place in found]
    return Reply([], len(places), [ordinal for _, ordinal, _ in found], rows, [], [], b"rank", [], 0)


def query(offset: int, limit: int, *, descending: bool) -> Query:
    return parse_list(f"offset={offset}&limit={limit}&order={'-' if descending else ''}total")


def rounds(
    shards: list[list[Place]], asked: Query, change: Callable[[], None] = lambda: None
) -> tuple[int, list[tuple[int, int]], int]:
    """The count, the groups by ordinal and shard, and how many rounds it took. `change` is called between two."""
    paging = Paging(asked)
    for number in range(1, 13):
        windows = paging.windows(len(shards))
        page = paging.page([reply(places, one) for places, one in zip(shards, windows, strict=True)])
        if page is not None:
            assert all(int(group.row) == group.ordinal for group in page.groups)
            return page.count, [(group.ordinal, group.shard) for group in page.groups], number
        change()
    raise AssertionError(f"not within 12 rounds: {asked}")


def dealt(rng: random.Random, number: int, shards: int, values: int, *, evenly: bool) -> list[list[Place]]:
    found: list[list[Place]] = [[] for _ in range(shards)]
    for _ in range(number):
        shard = rng.randrange(shards) if evenly else min(shards - 1, rng.getrandbits(2))
        found[shard].append((rng.randrange(values), len(found[shard]), shard))
    return found


def places_of(lists: list[list[Place]], *, descending: bool = False) -> list[tuple[int, int]]:
    places = sorted((place for one in lists for place in one), reverse=descending)
    return [(ordinal, shard) for _, ordinal, shard in places]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("evenly", [True, False])
@pytest.mark.parametrize(
    ("number", "values"), [(0, 1), (1, 1), (40, 3), (2000, 10), (3000, 10**6), *thorough((30_000, 1), (30_000, 10**6))]
)
@pytest.mark.parametrize("shards", [1, 2, 16])
def test_every_page_is_that_of_one_list(shards: int, number: int, values: int, evenly: bool, descending: bool) -> None:
    rng = random.Random(number)
    lists = [sorted(one, reverse=descending) for one in dealt(rng, number, shards, values, evenly=evenly)]
    whole = places_of(lists, descending=descending)
    took = []
    for offset in (0, 1, 50, number // 2, rng.randrange(number + 1), number - 1, number, 2**60):
        for limit in (0, 1, 50, 1000):
            asked = query(max(0, offset), limit, descending=descending)
            found, ids, round_ = rounds(lists, asked)
            assert (found, ids) == (number, whole[asked.offset : asked.offset + limit])
            took.append(round_)
    # Uneven shards are not what a hash makes, least of all if equal values follow the order of arrival in each.
    assert max(took) <= (4 if evenly else 8)
    assert took.count(1) > len(took) / 3


@pytest.mark.parametrize(
    ("shards", "numbers"),
    [
        *((shards, (500, 3000, 20_000)) for shards in (2, 3, 8, 16, 64)),
        *thorough(*((shards, (500, 3000, 20_000, 100_000)) for shards in (2, 3, 8, 16, 64, 256, 1000))),
    ],
)
def test_few_rounds_find_any_page(numbers: tuple[int, ...], shards: int) -> None:
    rng = random.Random(shards)
    took = []
    for number in numbers:
        descending = rng.random() < 0.5
        lists = [sorted(one, reverse=descending) for one in dealt(rng, number, shards, 10**6, evenly=True)]
        whole = places_of(lists, descending=descending)
        for offset in (0, 50, *(rng.randrange(number) for _ in range(6 if shards < 256 else 2))):
            asked = query(offset, 50, descending=descending)
            found, ids, round_ = rounds(lists, asked)
            assert (found, ids) == (number, whole[offset : offset + 50])
            took.append(round_)
    assert max(took) <= 4
    assert took.count(1) < len(took)


@pytest.mark.parametrize("shards", [16, *thorough(2, 64)])
def test_lists_that_change_between_the_rounds(shards: int) -> None:
    """A thousandth moves to the front each time, as what is updated does."""
    rng = random.Random(shards)
    lists = [sorted(one) for one in dealt(rng, 100_000, shards, 10**6, evenly=True)]
    fronts = count()

    def change() -> None:
        for number in rng.choices(range(shards), k=100):
            _, ordinal, shard = lists[number].pop(rng.randrange(len(lists[number])))
            lists[number].insert(0, (-next(fronts), ordinal, shard))

    took = []
    for offset in (500, 10_000, 60_000, 90_000):
        found, ids, round_ = rounds(lists, query(offset, 50, descending=False), change)
        assert (found, ids) == (100_000, places_of(lists)[offset : offset + 50])
        took.append(round_)
    assert 1 < max(took) <= 5


def test_a_deep_page_reads_few_documents() -> None:
    rng = random.Random(1)
    shards = 16
    lists = [sorted(one) for one in dealt(rng, 200_000, shards, 10**6, evenly=True)]
    for offset in (50_000, 100_000, 199_000):
        asked, spans, ladders = query(offset, 50, descending=False), guess(shards, offset, 50), 0
        while (asked_for := windows(spans, 50))[0].step > 1:
            parts = [
                part(asked, shard, window, reply(places, window))
                for shard, (window, places) in enumerate(zip(asked_for, lists, strict=True))
            ]
            assert sum(len(one.places) for one in parts) <= 16 * shards
            spans, ladders = narrowed(spans, parts, offset, 50, descending=False), ladders + 1
        assert 1 <= ladders <= 2
        assert sum(end - start for start, end in spans) < 1100


def told(shard: int, count: int, start: int, *places: tuple[int, int]) -> Part:
    groups = [Group(shard, ordinal, b"", None) for _, ordinal in places]
    return Part(count, start, 1, [(*place, shard) for place in places], groups)


A, B, C, D = (1, 0), (1, 1), (2, 0), (3, 2)


@pytest.mark.parametrize(
    ("parts", "offset", "limit", "expected"),
    [
        ([told(0, 2, 0, A, C), told(1, 2, 0, B, D)], 0, 4, [A, B, C, D]),
        ([told(0, 2, 0, A, C), told(1, 2, 0, B, D)], 1, 2, [B, C]),
        # What comes after B in the second shard is not shown, and may come before C.
        ([told(0, 2, 0, A, C), told(1, 2, 0, B)], 0, 2, [A, B]),
        ([told(0, 2, 0, A, C), told(1, 2, 0, B)], 0, 3, None),
        # What comes before C in the first shard is not shown, and may come after B.
        ([told(0, 2, 1, C), told(1, 2, 0, B, D)], 0, 1, None),
        ([told(0, 2, 1, C), told(1, 2, 0, B, D)], 1, 1, None),
        ([told(0, 2, 1, C), told(1, 2, 0, B, D)], 2, 2, [C, D]),
        ([told(0, 2, 2), told(1, 2, 0, B, D)], 3, 1, None),
        ([told(0, 2, 2), told(1, 2, 0, B, D)], 4, 1, []),
        ([told(0, 0, 0), told(1, 2, 0, B, D)], 1, 9, [D]),
    ],
)
def test_only_what_is_certain_is_a_page(
    parts: list[Part], offset: int, limit: int, expected: list[tuple[int, int]] | None
) -> None:
    found = merged(parts, offset, limit, descending=False)
    ordinals = None if expected is None else [ordinal for _, ordinal in expected]
    assert (None if found is None else [group.ordinal for group in found]) == ordinals


def test_ties_are_broken_by_ordinal_and_shard_in_the_direction_of_the_list() -> None:
    parts = [told(0, 2, 0, (1, 7), (1, 5)), told(1, 2, 0, (1, 7), (1, 6))]
    found = merged(parts, 0, 4, descending=True)
    assert found is not None
    assert [(group.ordinal, group.shard) for group in found] == [(7, 1), (7, 0), (6, 1), (5, 0)]


@pytest.mark.parametrize("descending", [False, True])
def test_what_has_no_number_comes_last_in_either_direction(descending: bool) -> None:
    asked = parse_list(f"order={'-' if descending else ''}display_id")
    base = {"created_at": 0, "updated_at": 0, "total": Decimal(0), "seller_count": 1}
    rows = [columns_head({**base, "display_id": number}) + b"x" for number in (None, -(2**53))]
    window = Window(0, 2, 1)
    parts = [
        part(asked, shard, window, Reply([], 1, [3], [row], [], [], b"masks", [], 0)) for shard, row in enumerate(rows)
    ]
    found = merged(parts, 0, 2, descending=descending)
    assert found is not None
    assert [group.shard for group in found] == [1, 0]
