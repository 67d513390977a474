"""Where a page lies in each shard: by lists of this process, in the place of shards."""

import random
from bisect import bisect_left

import pytest

from projector.readmodel.query.page.merge import Part
from projector.readmodel.query.page.spans import MOVED, Span, guess, narrowed, windows

Numbers = list[list[int]]


def dealt(rng: random.Random, number: int, shards: int, *, evenly: bool = True) -> Numbers:
    """Not evenly: most of any part of the list is in one shard, another one in each tenth of it."""
    lists: Numbers = [[] for _ in range(shards)]
    for n in range(number):
        lists[rng.randrange(shards) if evenly or rng.random() < 0.1 else 10 * n // number % shards].append(n)
    return lists


def shown(lists: Numbers, spans: list[Span], limit: int) -> list[Part]:
    """As shards answer, exactly."""
    parts = []
    for numbers, window in zip(lists, windows(spans, limit), strict=True):
        places = [(n, 0, 0) for n in numbers[window.start : window.end : window.step]]
        parts.append(Part(len(numbers), min(window.start, len(numbers)), window.step, places, ()))
    return parts


def wide(spans: list[Span]) -> int:
    return sum(end - start for start, end in spans)


@pytest.mark.parametrize("evenly", [True, False])
@pytest.mark.parametrize("shards", [2, 5, 16, 100])
def test_the_page_lies_within_the_spans(shards: int, evenly: bool) -> None:
    """Always, however the groups are distributed, though then it may take longer: what places prove is no guess."""
    rng = random.Random(shards)
    for _ in range(20):
        number, limit = rng.randrange(10_000, 30_000), rng.choice((1, 50))
        lists, offset = dealt(rng, number, shards, evenly=evenly), rng.randrange(number)
        spans = [Span(0, len(numbers)) for numbers in lists]
        while (parts := shown(lists, spans, limit))[0].step > 1:
            narrower = narrowed(spans, parts, offset, limit, descending=False)
            assert not evenly or wide(narrower) < wide(spans) / 2
            spans = narrower
            for numbers, (start, end) in zip(lists, spans, strict=True):
                first, last = (bisect_left(numbers, rank) for rank in (offset, min(offset + limit, number)))
                # One more on each side proves that nothing is missing.
                assert start < first or start == 0 == first
                assert end > last or end >= len(numbers) == last
        assert shards == 100 or wide(spans) <= 1000 + 2 * limit


def test_a_wrong_guess_moves_out() -> None:
    """All of the first shard come before all of the second: no page is where a share of it should be."""
    lists = [list(range(30_000)), list(range(30_000, 60_000))]
    for offset in (20_000, 29_990, 30_000, 45_000):
        spans = guess(2, offset, 50)
        rounds = 0
        while not all(
            start <= first < last <= end
            for (start, end), numbers in zip(spans, lists, strict=True)
            if (first := bisect_left(numbers, offset)) < (last := bisect_left(numbers, offset + 50))
        ):
            spans = narrowed(spans, shown(lists, spans, 50), offset, 50, descending=False)
            assert all(0 <= start < end for start, end in spans)
            rounds += 1
        assert 0 < rounds <= 4


def test_shards_that_have_nothing() -> None:
    lists, spans = [[], list(range(5000)), []], guess(3, 4000, 50)
    for _ in range(5):
        spans = narrowed(spans, shown(lists, spans, 50), 4000, 50, descending=False)
    assert spans[0] == spans[2] == Span(0, MOVED)
    assert 3000 < spans[1].start < 4000 < 4050 <= spans[1].end


@pytest.mark.parametrize("shards", [2, 16, 64, 400])
def test_what_is_read_at_once_and_what_is_not(shards: int) -> None:
    assert {window.step for window in windows(guess(shards, 0, 50), 50)} == {1}
    for window, span in zip(windows(guess(shards, 900_000, 50), 50), guess(shards, 900_000, 50), strict=True):
        assert window.step > 1
        ranks = range(*window)
        assert ranks[0] == span.start
        assert ranks[-1] >= span.end - 1


def test_a_page_near_the_start_is_read_at_once() -> None:
    assert guess(2, 0, 1) == [Span(0, 1)] * 2
    assert guess(16, 0, 50) == [Span(0, 14)] * 16
    for offset in range(0, 500, 50):
        assert {window.step for window in windows(guess(16, offset, 50), 50)} == {1}
