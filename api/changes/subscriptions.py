"""Subscribers, within limits, and the first event of each: the state, or what changed since the client's last event."""

import asyncio
from dataclasses import replace

from msgspec import Struct

from api.changes.events import UNAVAILABLE, Change, EventId
from api.changes.feed import LOST, SWITCHED, Feed
from api.changes.lists import Admitted, Followed, ReadPage
from api.changes.subscriber import Subscriber
from api.freshness.waiting import Waiting
from projector.readmodel.client.deadlines import Deadlines
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.changes import Commit
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.query import Query

# Different lists that all subscribers of a process ask for.
LISTS_MAX = 50
# Seconds that a stream waits to go on, if this process has not seen the client's last event yet.
BEHIND_S = 2.0
NOT_OURS = "the Last-Event-ID is none of this stream"


class TooMany(Struct, frozen=True):
    """`reason`: for metrics and the access log. `message`: for the client."""

    reason: str
    message: str


class Subscriptions:
    """`subscribers_max`: of this process."""

    def __init__(self, engine: Engine, waiting: Waiting, read_page: ReadPage, subscribers_max: int) -> None:
        self._engine = engine
        self._waiting = waiting
        self._read_page = read_page
        self._subscribers_max = subscribers_max
        self._subscribers: dict[Subscriber, tuple[Feed, Followed] | None] = {}
        self._feed: Feed | None = None
        self._is_closed = False
        self._beginning = asyncio.Lock()
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def lists(self) -> int:
        return sum(query is not None for query in self._feed.followed) if self._feed else 0

    async def subscribe(
        self, query: Query | None, last: EventId | str | None, expires_s: float, admitted: Admitted
    ) -> Subscriber | TooMany:
        """Returns a subscriber whose first event is there; it must be removed. Raises Unavailable, ReadModelFault, and
        what `admitted` raises.

        `last`: of the client's last event, as `parse_event_id` returns it. `admitted`: within it Redis is read for this
        subscriber, if that is necessary.
        """
        if self._is_closed:
            raise Unavailable("this process is ending")
        if len(self._subscribers) >= self._subscribers_max:
            return TooMany("subscribers", f"Expected at most {self._subscribers_max} streams at once. Try again later.")
        subscriber = Subscriber(expires_s, self._deadlines)
        self._subscribers[subscriber] = None
        try:
            feed = await self._running()
            if query is not None and query not in feed.followed and self.lists >= LISTS_MAX:
                self.remove(subscriber)
                return TooMany("lists", f"Expected at most {LISTS_MAX} different lists followed. Try again later.")
            followed = feed.list_of(query)
            followed.members.add(subscriber)
            self._subscribers[subscriber] = feed, followed
            subscriber.begin(await self._first(feed, followed, last, admitted))
        except BaseException:
            self.remove(subscriber)
            raise
        if feed.has_ended:
            subscriber.end(UNAVAILABLE)
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """The last one ends what follows the read model. May be called repeatedly."""
        subscribed = self._subscribers.pop(subscriber, None)
        if subscribed is not None:
            feed, followed = subscribed
            followed.members.discard(subscriber)
            if not followed.members and feed.followed.get(followed.query) is followed:
                del feed.followed[followed.query]
        if not self._subscribers and self._feed is not None:
            self._stop(self._feed)

    def end(self) -> None:
        """Ends all streams, without an event: the process is about to end."""
        self._is_closed = True
        for subscriber in self._subscribers:
            subscriber.end()

    async def close(self) -> None:
        self.end()
        if self._feed is not None:
            feed = self._feed
            self._stop(feed)
            await feed.stopped()

    def _stop(self, feed: Feed) -> None:
        self._feed = None
        self._waiting.unfollow(feed.wake)
        feed.stop()

    async def _running(self) -> Feed:
        if self._feed is not None and self._feed.has_ended:
            self._stop(self._feed)
        # A thousand may come at once: one begins.
        async with self._beginning:
            if self._feed is None:
                self._feed = Feed(self._engine, self._read_page, await self._engine.changes(None))
                self._waiting.follow(self._feed.wake)
            return self._feed

    async def _first(self, feed: Feed, followed: Followed, last: EventId | str | None, admitted: Admitted) -> Change:
        """Returns the state, and what changed since the client's last event, or that this is not known."""
        state = await feed.read(followed, admitted)
        if isinstance(last, EventId) and last.nonce == state.id.nonce and _is_ahead(last, state.id):
            await followed.wait_for(lambda now: not _is_ahead(last, now.id), feed.wake, BEHIND_S)
            state = followed.state or state
        if last == state.id:
            return state if state.page is None else replace(state, page=replace(state.page, changed=False))
        if state.page is not None:
            state = replace(state, page=replace(state.page, changed=True))
        if last is None:
            return state
        if not isinstance(last, EventId):
            return replace(state, reset=NOT_OURS)
        if last.nonce != state.id.nonce or len(last.numbers) != len(state.id.numbers):
            return replace(state, reset=SWITCHED)
        # Read later than the state, so nothing is missing between them; what is in both comes twice.
        async with admitted():
            changed = await self._engine.changes([Commit(number) for number in last.numbers])
        if changed.generation != feed.seen.generation:
            return replace(state, reset=SWITCHED)
        return replace(state, ids=changed.ids) if changed.is_known else replace(state, reset=LOST)


def _is_ahead(one: EventId, other: EventId) -> bool:
    """Whether it has seen a commit that the other has not."""
    return len(one.numbers) == len(other.numbers) and any(
        mine > theirs for mine, theirs in zip(one.numbers, other.numbers, strict=True)
    )
