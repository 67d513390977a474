"""A page of a list in however many shards: what to ask them, round by round, and what to make of their answers."""

from collections.abc import Sequence

from msgspec import Struct

from projector.readmodel.query.calls import OFFSET_MAX, Window
from projector.readmodel.query.page.merge import Group, Reply, groups, merged, part
from projector.readmodel.query.page.spans import Span, guess, narrowed, windows
from projector.readmodel.query.query import Query


class Page(Struct, frozen=True):
    """`is_last`: whether nothing comes after it."""

    count: int
    groups: Sequence[Group]
    is_last: bool


class Paging:
    """`windows` says what to ask, `page` takes the answers; both once a round."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._spans: list[Span] = []
        self._windows: list[Window] = []

    def windows(self, shards: int) -> list[Window]:
        """One for each shard. Their number may change between two rounds, with the generation."""
        query, offset = self._query, min(self._query.offset, OFFSET_MAX)
        if shards == 1 or not query.limit:
            self._windows = [Window(offset, offset + query.limit, 1)] * shards
        else:
            if len(self._spans) != shards:
                self._spans = guess(shards, offset, query.limit)
            self._windows = windows(self._spans, query.limit)
        return self._windows

    def page(self, replies: Sequence[Reply]) -> Page | None:
        """None: ask again."""
        query, is_whole = self._query, self._windows[0].step == 1
        count = sum(reply.count for reply in replies)
        offset, limit, descending = query.offset, query.limit, query.descending
        is_last = offset + limit >= count - sum(reply.passed for reply in replies)
        if len(replies) == 1:
            return Page(count, groups(0, replies[0]), is_last)
        if not limit or offset >= count:
            return Page(count, (), is_last)
        parts = [part(query, shard, *one) for shard, one in enumerate(zip(self._windows, replies, strict=True))]
        if is_whole:
            found = merged(parts, offset, limit, descending=descending)
            if found is not None:
                return Page(count, found, is_last)
        self._spans = narrowed(self._spans, parts, offset, limit, descending=descending)
        return None
