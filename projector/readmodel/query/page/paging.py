"""A page of a list in however many shards: what to ask them, round by round, and what to make of their answers."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.query.calls import HEADS, NO_PARTS, OFFSET_MAX, Window, page, parts_asked
from projector.readmodel.query.page.merge import merged, part
from projector.readmodel.query.page.spans import LADDER, NARROW, Ladder, Span, guess, narrowed, windows
from projector.readmodel.query.query import Query

# Rounds of one request, without those after which something was read in vain. Two to four are the rule for deep pages;
# more are needed where a list changes fast.
ROUNDS_MAX = 8


class Page(Struct, frozen=True):
    """`told`: its documents, or the ids of those that are read after it."""

    count: int
    told: Sequence[bytes]


class Paging:
    """`windows` says what to ask, `page` takes the answers; both once a round. `parts` of each document that are told:
    HEADS or WHOLE.
    """

    __slots__ = ("_ladder", "_margin", "_parts", "_query", "_rotated", "_spans", "_windows")

    def __init__(self, query: Query, parts: int, *, rotated: bool, ladder: Ladder = LADDER) -> None:
        self._query = query
        self._parts = parts
        self._ladder = ladder
        self._margin = NARROW
        self._rotated = rotated
        self._spans: list[Span] = []
        self._windows: list[Window] = []

    def windows(self, shards: int, *, is_known: bool = False) -> list[Window]:
        """One for each shard. Their number may change between two rounds, with the generation. `is_known`: what would
        have to be read after the list has been, but for what is missing or out of date.
        """
        self._windows = self._next(shards, is_known)
        return self._windows

    @property
    def is_read_after(self) -> bool:
        """Whether documents, and some ids perhaps, are not in the answers."""
        window = self._windows[0]
        return window.step <= 1 and window.parts <= NO_PARTS

    def page(self, replies: Sequence[Sequence[object]]) -> Page | None:
        """`replies`: what window.lua answers. None: ask again."""
        count, step, query = sum(cast(list[int], [reply[1] for reply in replies])), self._windows[0].step, self._query
        if not step:
            return Page(count, cast(list[bytes], replies[0][2]))
        offset, limit, descending = query.offset, query.limit, query.descending
        parts = [
            part(window, reply[1:5], rotated=self._rotated)
            for window, reply in zip(self._windows, replies, strict=True)
        ]
        if offset >= count or step == 1:
            found = merged(parts, offset, limit, descending=descending)
            if found is not None:
                return Page(count, found)
            # Who was wrong looks further.
            self._margin = self._margin.doubled()
        self._spans = narrowed(
            parts, offset, limit, descending=descending, rough=self._ladder.rough, margin=self._margin
        )
        return None

    def _next(self, shards: int, is_known: bool) -> list[Window]:
        query, limit = self._query, self._query.limit
        if shards == 1:
            return [page(query, parts_asked(self._parts, limit, is_known=is_known))]
        if not limit:
            return [Window(0, 0, 0, HEADS)] * shards
        if len(self._spans) != shards:
            self._spans = guess(shards, min(query.offset, OFFSET_MAX), limit)
        widest = max(end - start for start, end in self._spans)
        told = parts_asked(self._parts, widest, is_known=is_known)
        return windows(self._spans, limit, told, self._ladder, self._margin)
