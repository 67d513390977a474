"""Where a page lies in each shard: by lists of this process, in the place of shards."""

import random
from bisect import bisect_left

import pytest

from projector.readmodel.query.page.merge import Part
from projector.readmodel.query.page.spans import LADDER_COMBINED, NARROW, Margin, Span, guess, narrowed, windows

Numbers = list[list[int]]


def dealt(rng: random.Random, number: int, shards: int) -> Numbers:
    lists: Numbers = [[] for _ in range(shards)]
    for n in range(number):
        rng.choice(lists).append(n)
    return lists


def told(lists: Numbers, spans: list[Span], margin: Margin = NARROW) -> list[Part]:
    """As shards answer, exactly."""
    parts = []
    for numbers, window in zip(lists, windows(spans, 50, LADDER_COMBINED, margin), strict=True):
        places = [(n, 0, 0) for n in numbers[window.start : window.end : window.step]]
        parts.append(Part(len(numbers), min(window.start, len(numbers)), window.step, places, ()))
    return parts


def wide(spans: list[Span]) -> int:
    return sum(end - start for start, end in spans)


@pytest.mark.parametrize("shards", [2, 5, 16, 100])
def test_the_page_lies_within_the_spans(shards: int) -> None:
    rng = random.Random(shards)
    outside = 0
    narrower = 0
    for _ in range(40):
        number = rng.randrange(100, 30_000)
        lists, offset = dealt(rng, number, shards), rng.randrange(number)
        guessed = guess(shards, offset, 50)
        spans = narrowed(told(lists, guessed), offset, 50, descending=False)
        narrower += wide(spans) < wide(guessed)
        for numbers, (start, end) in zip(lists, spans, strict=True):
            first, last = (bisect_left(numbers, rank) for rank in (offset, min(offset + 50, number)))
            outside += not start <= first <= last <= end
    assert outside <= 1
    assert narrower > 20


def test_places_that_contradict_a_hash_are_looked_at() -> None:
    """All of the first shard come before all of the second: no page is where a share of it should be."""
    lists = [list(range(3000)), list(range(3000, 6000))]
    for offset in (0, 10, 2990, 3000, 5990):
        spans = narrowed(told(lists, guess(2, offset, 50)), offset, 50, descending=False)
        assert all(0 <= start < end for start, end in spans)


def test_shards_that_have_nothing() -> None:
    parts = told([[], list(range(900)), []], guess(3, 700, 50))
    spans = narrowed(parts, 700, 50, descending=False)
    assert spans[0] == spans[2] == Span(0, NARROW.ranks)
    assert spans[1].start <= 700
    assert spans[1].end >= 750


@pytest.mark.parametrize("shards", [2, 12, 64, 400])
@pytest.mark.parametrize("doublings", range(6))
def test_after_several_wrong_guesses_the_page_is_read(shards: int, doublings: int) -> None:
    """No ladder asks for the same again and again."""
    margin = NARROW
    for _ in range(doublings):
        margin = margin.widened()
    lists, offset = dealt(random.Random(shards), 60_000, shards), 20_000
    spans = [Span(0, len(numbers)) for numbers in lists]
    for _ in range(9):
        parts = told(lists, spans, margin)
        if parts[0].step == 1:
            break
        spans = narrowed(parts, offset, 50, descending=False, margin=margin)
    assert parts[0].step == 1
