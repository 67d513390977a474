"""One list out of several shards' lists, each in the same order. Pure.

A rank is how many come before: in the list of a shard, or in the list of all. Groups are spread over shards by a hash,
so a page of the whole list lies in each shard where it would by chance; how far off that is, the answers tell.
"""

from collections.abc import Iterator, Sequence
from math import ceil, floor, inf, sqrt
from typing import NamedTuple

from msgspec import Struct

from api.calls import NO_PARTS, Window

# Standard deviations by which a guess may be off before another round is needed: it seldom is.
CERTAIN = 4.0
# Ranks by which a shard's list may move between two rounds, and those next to the page that show where it ends.
SLACK = 4
# Places of a shard's list that one round looks at to narrow down where the page lies.
LADDER = 64
# The same where a place is not found by its rank in a sorted set, but takes a good part of a millisecond.
LADDER_SELECTED = 12
# Documents of all shards that are read for a page, beyond twice its own: beyond that it is narrowed down first.
SPARE_MAX = 600

# Score, or -inf for what comes last in a descending order; id. In the order of lists if compared, or in the reverse.
Place = tuple[float, bytes]


def place(score: float, group_id: bytes, rotated: bool) -> Place:
    """`rotated`: what has the score +inf comes last."""
    return (-inf if rotated and score == inf else score), group_id


class Span(NamedTuple):
    """Ranks of one shard's list, without `end` itself."""

    start: int
    end: int


class Part(Struct, frozen=True):
    """What one shard tells: how long its list is, and the places at `start`, `start + step`, ... of it.

    `documents`: theirs, where every place was told; the ids, where documents are read afterwards.
    """

    count: int
    start: int
    step: int
    places: Sequence[Place]
    documents: Sequence[bytes]


def part(window: Window, reply: Sequence[object], *, rotated: bool) -> Part:
    """`reply`: count, ids, scores and documents of window.lua. Where it has no documents, the ids stand for them."""
    count, ids, scores, documents = reply
    assert isinstance(count, int)
    assert isinstance(ids, list)
    assert isinstance(scores, list)
    assert isinstance(documents, list)
    if window.parts <= NO_PARTS:
        documents = ids
    places = [place(float(score), group_id, rotated) for score, group_id in zip(scores, ids, strict=True)]
    return Part(count, min(window.start, count), window.step, places, documents)


def merged(parts: Sequence[Part], offset: int, limit: int, *, descending: bool) -> list[bytes] | None:
    """The documents of the page, or what stands for them; None where the parts do not show all of it, or not that it is
    it.
    """
    end = min(offset + limit, sum(part.count for part in parts))
    if end <= offset:
        return []
    found: list[tuple[Place, bytes]] = []
    firsts, lasts = [], []
    for part in parts:
        more = part.start + len(part.places) < part.count
        if not part.places and (part.start or more):
            return None
        found.extend(zip(part.places, part.documents, strict=True))
        if part.start:
            firsts.append(part.places[0])
        if more:
            lasts.append(part.places[-1])
    found.sort(reverse=descending)
    places = [place for place, _ in found]
    # Only between what all parts show nothing is missing, so only there ranks are known.
    latest, earliest = (min, max) if descending else (max, min)
    known_from = places.index(latest(firsts)) if firsts else 0
    known_to = places.index(earliest(lasts)) if lasts else len(places) - 1
    hidden = sum(part.start for part in parts)
    if offset - hidden < known_from or end - 1 - hidden > known_to:
        return None
    return [document for _, document in found[offset - hidden : end - hidden]]


def guess(shards: int, offset: int, limit: int) -> list[Span]:
    """Where a page lies in each shard before anything is known: binomial, with equal chances."""
    end = offset + limit
    start = floor(offset / shards - _deviation(offset, shards)) - SLACK
    last = ceil(end / shards + _deviation(end, shards)) + SLACK
    return [Span(max(0, start), min(last, end))] * shards


def _deviation(number: int, shards: int) -> float:
    return CERTAIN * sqrt(number * (shards - 1)) / shards


def windows(spans: Sequence[Span], limit: int, parts: int, ladder: int = LADDER) -> list[Window]:
    """All of the spans, or a ladder of places in each, if those were too many."""
    if sum(end - start for start, end in spans) <= SPARE_MAX + 2 * limit:
        return [Window(start, end, 1, parts) for start, end in spans]
    return [Window(start, end, max(2, ceil((end - start) / ladder)), NO_PARTS) for start, end in spans]


def narrowed(
    parts: Sequence[Part], offset: int, limit: int, *, descending: bool, certain: float, slack: int
) -> list[Span]:
    """Where the page lies in each shard, going by the places that the parts show."""
    end = offset + limit
    starts, ends = [0] * len(parts), [part.count for part in parts]
    for low, high, rank, deviation in _sweep(parts, descending=descending):
        if rank + certain * deviation <= offset:
            starts = low.copy()
        elif rank - certain * deviation >= end:
            ends = high.copy()
            break
    return [
        Span(max(0, min(start, part.count) - slack), min(last + slack, part.count, end))
        for part, start, last in zip(parts, starts, ends, strict=True)
    ]


def _sweep(parts: Sequence[Part], *, descending: bool) -> Iterator[tuple[list[int], list[int], float, float]]:
    """For each place that is shown, in the order of the list: how many come before it.

    At least and at most in each shard (the lists change with the next step), and what is to be expected in all,
    with its standard deviation: between two places that a shard shows, each rank has the same chance.
    """
    shown = [(place, number, n) for number, part in enumerate(parts) for n, place in enumerate(part.places)]
    shown.sort(reverse=descending)
    low = [0] * len(parts)
    high = [_rank(part, 0) for part in parts]
    total, gaps = sum(high), sum(most**2 for most in high)
    for _, number, n in shown:
        part = parts[number]
        least, most, here, following = low[number], high[number], _rank(part, n), _rank(part, n + 1)
        low[number] = high[number] = here
        total += 2 * here - least - most
        gaps -= (most - least) ** 2
        yield low, high, total / 2, sqrt(gaps / 12)
        low[number], high[number] = here + 1, following
        total += 1 + following - here
        gaps += (following - here - 1) ** 2


def _rank(part: Part, n: int) -> int:
    return part.start + n * part.step if n < len(part.places) else part.count
