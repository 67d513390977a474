"""Where a page of the list of all shards lies in each shard's list. Pure.

A rank is how many come before: in the list of a shard, or in the list of all. In each round a shard shows a ladder: the
places at equal steps of its span. What all shards show before and after a place bounds its rank in the list of all. So
the next span goes from the last place that is certainly before the page to the first one that is certainly behind it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from projector.readmodel.query.calls import Window
from projector.readmodel.query.page.merge import Part

# Rows of all shards that are read for a page, beyond twice its own, and so many of each: longer spans are narrowed down
# first.
SPARE_MAX, SPARE_EACH = 1000, 32
# Places of a ladder. Each takes some microseconds, or some hundred where masks are combined.
PLACES = 16
# Ranks by which a shard's list may move between two rounds without one more.
MOVED = 4


class Span(NamedTuple):
    """Ranks of one shard's list, without `end` itself."""

    start: int
    end: int


def guess(shards: int, offset: int, limit: int) -> list[Span]:
    """Groups are spread by a hash, so a shard has its share of any part of the list, hardly ever off by four roots of
    it. A wrong guess costs rounds, never a wrong page: see merge.py.
    """
    before, within = offset / shards, (offset + limit) / shards
    start, end = before - 4 * before**0.5, within + 4 * within**0.5
    return [Span(max(0, int(start) - MOVED), min(int(end) + MOVED, offset + limit))] * shards


def windows(spans: Sequence[Span], limit: int) -> list[Window]:
    """All of the spans; if those are too many, a ladder in each, from its first place to its last or beyond."""
    if sum(end - start for start, end in spans) <= max(SPARE_MAX, SPARE_EACH * len(spans)) + 2 * limit:
        return [Window(start, end, 1) for start, end in spans]
    steps = [max(2, -(-(end - start - 1) // (PLACES - 1))) for start, end in spans]
    return [Window(start, start + step * (PLACES - 1) + 1, step) for (start, _), step in zip(spans, steps, strict=True)]


def narrowed(spans: Sequence[Span], parts: Sequence[Part], offset: int, limit: int, *, descending: bool) -> list[Span]:
    """Returns the next spans. `parts`: what the shards show of these. A bound that no place proves moves out, by
    as much as a ladder narrows.
    """
    shown = [(place, number, n) for number, part in enumerate(parts) for n, place in enumerate(part.places)]
    end = min(offset + limit, sum(part.count for part in parts))
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    # How many groups of all shards come before the next place, at least and at most; the former of each shard.
    least, most = 0, sum(_rank(part, 0) for part in parts)
    of_each = [0] * len(parts)
    for _, number, n in sorted(shown, reverse=descending):
        rank = _rank(parts[number], n)
        least += rank - of_each[number]
        if most < offset:
            starts[number] = rank
        elif least >= end:
            ends.setdefault(number, rank + 1)
        least, of_each[number] = least + 1, rank + 1
        most += _rank(parts[number], n + 1) - rank
    found = []
    for number, (span, part) in enumerate(zip(spans, parts, strict=True)):
        further = PLACES * (span.end - span.start)
        first = starts.get(number, span.start - further)
        last = ends.get(number, min(span.end + further, part.count))
        found.append(Span(max(0, min(first, offset) - MOVED), min(last + MOVED, end)))
    return found


def _rank(part: Part, n: int) -> int:
    """Returns the rank of the n-th place that is shown; the number of all groups, behind the last one."""
    return part.start + n * part.step if n < len(part.places) else part.count
