"""Where a page of the list of all shards lies in each shard's list. Pure.

A rank is how many come before: in the list of a shard, or in the list of all. Groups are spread over shards by a hash,
so a shard has its share of whatever lies between two places of the list of all, as of so many draws: binomial, within
some standard deviations. A guess that is off costs a round, never a wrong page: see merge.py.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil, copysign, floor, sqrt
from operator import add, sub
from typing import NamedTuple

from projector.readmodel.query.calls import Window
from projector.readmodel.query.page.merge import Part

# Rows of all shards that are read for a page, beyond twice its own: beyond that it is narrowed down first.
SPARE_MAX = 600
# What that leaves of a shard, beyond thrice its margin: many shards have more in all, and a ladder makes it no less.
SPARE_EACH = 16
# Places of all shards that one round looks at, to go over which takes some microseconds each; and of one, at least.
PLACES_MAX, PLACES_MIN = 4096, 8


class Span(NamedTuple):
    """Ranks of one shard's list, without `end` itself."""

    start: int
    end: int


class Margin(NamedTuple):
    """By how much a guess may be off. `deviations`: standard deviations, so that it seldom is off by more. `ranks`: a
    shard's list may move between two rounds, and the ranks next to the page show where it ends.
    """

    deviations: float
    ranks: int

    def widened(self) -> "Margin":
        """Returns the margin after a wrong guess. Soon only what the places prove counts, whatever the distribution."""
        return Margin(8 * self.deviations, 2 * self.ranks)


NARROW = Margin(4.0, 4)


# Places of a shard's list that one round looks at, at least, to narrow down where the page is. Fewer where a place is
# not found by its rank in a sorted set, but takes a good part of a millisecond.
LADDER, LADDER_COMBINED = 64, 8


def guess(shards: int, offset: int, limit: int) -> list[Span]:
    """Before anything is known, with equal chances."""
    end, share, (deviations, ranks) = offset + limit, 1 / shards, NARROW
    start = floor(_FIRST.rank_at(offset, share, -deviations)) - ranks
    last = ceil(_FIRST.rank_at(end, share, deviations)) + ranks
    return [Span(max(0, start), min(last, end))] * shards


def windows(spans: Sequence[Span], limit: int, ladder: int = LADDER, margin: Margin = NARROW) -> list[Window]:
    """All of the spans; if those were too many, a ladder of places in each, from its first to its last or nearly so."""
    spare = max(SPARE_MAX, len(spans) * (3 * margin.ranks + SPARE_EACH))
    if sum(end - start for start, end in spans) <= spare + 2 * limit:
        return [Window(start, end, 1) for start, end in spans]
    steps = max(PLACES_MIN, min(ladder, PLACES_MAX // len(spans))) - 1
    return [Window(start, end, max(2, (end - start - 1) // steps)) for start, end in spans]


def narrowed(
    parts: Sequence[Part],
    offset: int,
    limit: int,
    *,
    descending: bool,
    margin: Margin = NARROW,
) -> list[Span]:
    """Returns the narrowest spans that follow from the places which the parts show."""
    end, count = offset + limit, sum(part.count for part in parts)
    starts, ends = [0] * len(parts), [part.count for part in parts]
    for number, known in chain(_borders(parts, count), _sweep(parts, margin.deviations, descending=descending)):
        share = parts[number].count / count
        starts[number] = max(starts[number], floor(known.rank_at(offset, share, -margin.deviations)))
        ends[number] = min(ends[number], ceil(known.rank_at(end, share, margin.deviations)))
    # Where they contradict each other, what lies between them is looked at.
    firsts, lasts = map(min, starts, ends), map(max, starts, ends)
    return [
        # A rank in a shard is none above that in all.
        Span(max(0, min(first, offset) - margin.ranks), min(last + margin.ranks, end))
        for first, last in zip(firsts, lasts, strict=True)
    ]


class _Known(NamedTuple):
    """A rank in a shard's list; the same place's rank in the list of all, and by how much that may be off."""

    rank: int
    whole: float
    spread: float

    def rank_at(self, whole: float, share: float, deviations: float) -> float:
        """Where in the shard's list the rank `whole` of the list of all lies, so many deviations off what is to be
        expected.
        """
        way = whole - self.whole + copysign(self.spread, deviations)
        between = share * way + deviations * sqrt(abs(way) * share * (1 - share))
        if between * way < 0:
            # Never fewer than none.
            between = 0.0
        return self.rank + between


_FIRST = _Known(0, 0.0, 0.0)


def _borders(parts: Sequence[Part], count: int) -> Iterator[tuple[int, _Known]]:
    """Numbers of shards, and what is known of their lists before any place is shown. `count`: of all."""
    for number, part in enumerate(parts):
        yield number, _FIRST
        yield number, _Known(part.count, count, 0.0)


def _sweep(parts: Sequence[Part], deviations: float, *, descending: bool) -> Iterator[tuple[int, _Known]]:
    """For each place that is shown, in the order of the list: the number of its shard, and what is known by it."""
    shown = [(place, number, n) for number, part in enumerate(parts) for n, place in enumerate(part.places)]
    shown.sort(reverse=descending)
    gaps = [_gap(part, 0) for part in parts]
    total = list(map(sum, zip(*gaps, strict=True)))
    for _, number, n in shown:
        part = parts[number]
        others = list(map(sub, total, gaps[number]))
        least, most, twelfths, unknown = others
        rank = _rank(part, n)
        spread = unknown / 2 + min(deviations * sqrt(twelfths / 12), (most - least - unknown) / 2)
        yield number, _Known(rank, rank + (least + most) / 2, spread)
        gaps[number] = _gap(part, n + 1)
        total = list(map(add, others, gaps[number]))


class _Gap(NamedTuple):
    """How many of a shard come before a place of another one that lies between two of its own, or beyond them: at least
    and at most. Between two, each number has the same chance: the variance, in twelfths. Beyond them nothing is known:
    the difference.
    """

    least: int
    most: int
    twelfths: int
    unknown: int


def _gap(part: Part, n: int) -> _Gap:
    """Before the n-th place that is shown."""
    least, most = _rank(part, n - 1) + 1 if n else 0, _rank(part, n)
    width = most - least
    return _Gap(least, most, width * (width + 2), 0) if 0 < n < len(part.places) else _Gap(least, most, 0, width)


def _rank(part: Part, n: int) -> int:
    return part.start + n * part.step if n < len(part.places) else part.count
