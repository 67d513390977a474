"""One list out of several shards' lists, each in the same order: what their answers prove. Pure.

A rank is how many come before: in the list of a shard, or in the list of all.
"""

from collections.abc import Sequence
from math import inf

from msgspec import Struct

from projector.readmodel.query.calls import NO_PARTS, Window

# Score, or -inf for what comes last in a descending order; id. In the order of lists if compared, or in the reverse.
Place = tuple[float, bytes]


def place(score: float, group_id: bytes, rotated: bool) -> Place:
    """`rotated`: what has the score +inf comes last."""
    return (-inf if rotated and score == inf else score), group_id


class Part(Struct, frozen=True):
    """What one shard tells: how long its list is, and the places at `start`, `start + step`, ... of it, or near.

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
