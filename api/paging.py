"""A page of a list in however many shards: what to ask them, round by round, and what to make of their answers."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from api.calls import HEADS, NO_PARTS, Window, page
from api.merge import CERTAIN, LADDER, SLACK, Span, guess, merged, narrowed, part, windows
from api.query import Query

# Rounds of one request, without those whose documents had to be read again. Two are the rule for deep pages; more are
# needed where a list changes fast.
ROUNDS_MAX = 8


class Page(Struct, frozen=True):
    """`rows`: documents joined by commas; None where they have to be read yet, for `ids`."""

    count: int
    rows: bytes | None
    ids: Sequence[bytes] = ()


class Paging:
    """`windows` says what to ask, `page` takes the answers; both once a round. `parts`: of each document that are asked
    for; may be changed between two rounds.
    """

    __slots__ = ("_ladder", "_query", "_rotated", "_round", "_spans", "_windows", "parts")

    def __init__(self, query: Query, parts: int, *, rotated: bool, ladder: int = LADDER) -> None:
        self._query = query
        self.parts = parts
        self._ladder = ladder
        self._rotated = rotated
        self._round = 0
        self._spans: list[Span] = []
        self._windows: list[Window] = []

    def windows(self, shards: int) -> list[Window]:
        """One for each shard. Their number may change between two rounds, with the generation."""
        self._windows = self._next(shards)
        return self._windows

    def page(self, replies: Sequence[Sequence[object]]) -> Page | None:
        """`replies`: what window.lua answers. None: ask again."""
        count, step, query = sum(cast(list[int], [reply[1] for reply in replies])), self._windows[0].step, self._query
        is_told = self._windows[0].parts != NO_PARTS
        if not step:
            told = cast(list[bytes], replies[0][2])
            # Joined here: Lua would look at every byte of them once more.
            return Page(count, b",".join(told)) if is_told else _unread(count, told)
        offset, limit, descending = query.offset, query.limit, query.descending
        parts = [
            part(window, reply[1:5], rotated=self._rotated)
            for window, reply in zip(self._windows, replies, strict=True)
        ]
        if offset >= count or step == 1:
            found = merged(parts, offset, limit, descending=descending)
            if found is not None:
                return Page(count, b",".join(found)) if is_told else _unread(count, found)
        self._round += 1
        self._spans = narrowed(
            parts,
            offset,
            limit,
            descending=descending,
            # Who was wrong looks further.
            certain=CERTAIN * 2 ** (self._round // 2),
            slack=SLACK * 2 ** (self._round // 2),
        )
        return None

    def _next(self, shards: int) -> list[Window]:
        asked = page(self._query, self.parts)
        if shards == 1:
            return [asked]
        if not self._query.limit:
            return [Window(0, 0, 0, HEADS)] * shards
        if len(self._spans) != shards:
            self._spans = guess(shards, asked.start, self._query.limit)
        return windows(self._spans, self._query.limit, self.parts, self._ladder)


def _unread(count: int, ids: Sequence[bytes]) -> Page:
    return Page(count, None, ids) if ids else Page(count, b"")
