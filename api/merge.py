"""One list out of several shards' lists, each in the same order. Pure.

A rank is how many come before: in the list of a shard, or in the list of all. Groups are spread over shards by a hash,
so a page of the whole list lies in each shard where it would by chance; how far off that is, the answers tell.
"""

from collections.abc import Iterator, Sequence
from math import ceil, copysign, floor, inf, sqrt
from operator import sub
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
LADDER_SELECTED = 5
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
    """All of the spans; if those were too many, a ladder of places in each, from its first to its last or nearly so."""
    if sum(end - start for start, end in spans) <= SPARE_MAX + 2 * limit:
        return [Window(start, end, 1, parts) for start, end in spans]
    return [Window(start, end, max(2, (end - start - 1) // (ladder - 1)), NO_PARTS) for start, end in spans]


def narrowed(
    parts: Sequence[Part], offset: int, limit: int, *, descending: bool, certain: float, slack: int
) -> list[Span]:
    """Where the page lies in each shard, going by the places that the parts show: by those that tell most.

    Of what lies between such a place and the page in the list of all, the shard has its share: binomial again, within
    `certain` standard deviations.
    """
    end, count = offset + limit, sum(part.count for part in parts)
    starts, ends = [0] * len(parts), [part.count for part in parts]
    for number, shown in _sweep(parts, certain, descending=descending):
        share = parts[number].count / count
        starts[number] = max(starts[number], floor(shown.rank_at(offset, share, -certain)))
        ends[number] = min(ends[number], ceil(shown.rank_at(end, share, certain)))
    starts = [max(0, min(start, part.count) - slack) for part, start in zip(parts, starts, strict=True)]
    ends = [max(start, min(last + slack, end)) for start, last in zip(starts, ends, strict=True)]
    return list(map(Span, starts, ends))


class _Shown(NamedTuple):
    """A place's rank in its shard's list; that in the list of all, and by how much the latter may be off."""

    rank: int
    whole: float
    spread: float

    def rank_at(self, whole: float, share: float, deviations: float) -> float:
        """In the shard's list, of what has a rank in the list of all: so many deviations off what is to be expected."""
        way = whole - self.whole
        chance = deviations * sqrt(abs(way) * share * (1 - share))
        return self.rank + share * (way + copysign(self.spread, deviations)) + chance


def _sweep(parts: Sequence[Part], certain: float, *, descending: bool) -> Iterator[tuple[int, _Shown]]:
    """Each place that is shown, in the order of the list, and its shard."""
    shown = [(place, number, n) for number, part in enumerate(parts) for n, place in enumerate(part.places)]
    shown.sort(reverse=descending)
    gaps = [_gap(part, 0) for part in parts]
    total = [sum(column) for column in zip(*gaps, strict=True)]
    for _, number, n in shown:
        least, most, inside, outside = map(sub, total, gaps[number])
        rank = _rank(parts[number], n)
        spread = outside / 2 + min(certain * sqrt(inside / 12), (most - least - outside) / 2)
        yield number, _Shown(rank, rank + (least + most) / 2, spread)
        following = _gap(parts[number], n + 1)
        total = [all_ - left + come for all_, left, come in zip(total, gaps[number], following, strict=True)]
        gaps[number] = following


def _gap(part: Part, n: int) -> tuple[int, int, int, int]:
    """How many of the shard may come before what lies between its places n - 1 and n: at least, at most, and the square
    of the difference, for each number has the same chance there; or the difference, where one of the two is not shown.
    """
    least, most = _rank(part, n - 1) + 1 if n else 0, _rank(part, n)
    if 0 < n < len(part.places):
        return least, most, (most - least) ** 2, 0
    return least, most, 0, most - least


def _rank(part: Part, n: int) -> int:
    return part.start + n * part.step if n < len(part.places) else part.count
