"""Changes merged for a client that was not sent them, event ids, and the pace of a stream."""

import asyncio
import gc
import json
from collections.abc import Sequence
from functools import reduce
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.changes.events import HEADER, HEARTBEAT, Change, EventId, Page, merged, parse_event_id
from api.changes.subscriber import HEARTBEAT_S, Subscriber
from api.server import tune_collector
from projector.readmodel.client.deadlines import Deadlines

IDS_MAX = 200

nonces = st.text("0123456789abcdefABCDEF-_", max_size=20)
event_ids = st.builds(EventId, nonces, st.lists(st.integers(0, 10**15), min_size=1, max_size=20).map(tuple))
groups = st.lists(st.integers(0, 400).map("og_{}".format), max_size=150, unique=True).map(tuple)
changes = st.builds(
    Change,
    id=st.just(EventId("n", (1,))),
    position=st.just(""),
    ids=st.none() | groups,
    page=st.builds(Page, st.integers(0, 9), st.booleans()),
    reset=st.sampled_from(["", "", "", "why"]),
)


def expected(parts: Sequence[Change]) -> tuple[str, set[str] | None, Page | None]:
    """Returns reset, ids and page of all since the last reset, by brute force."""
    last = max((n for n, one in enumerate(parts) if one.reset), default=0)
    since = parts[last:]
    named = [one.ids for one in since if one.ids is not None]
    ids = {group for some in named for group in some}
    is_many = len(named) < len(since) or len(ids) > IDS_MAX
    pages = [one.page for one in since if one.page]
    page = Page(pages[-1].count, any(one.changed for one in pages))
    return parts[last].reset, None if is_many else ids, page


@given(st.lists(changes, min_size=1, max_size=6))
def test_merged_changes_are_all_of_them(parts: list[Change]) -> None:
    found = reduce(merged, parts[1:], parts[0])
    reset, ids, page = expected(parts)
    assert found.reset == reset
    assert (None if found.ids is None else set(found.ids)) == ids
    assert found.ids is None or len(found.ids) == len(set(found.ids))
    assert found.page == page
    # In whatever order they are put together.
    assert reduce(lambda later, earlier: merged(earlier, later), parts[-2::-1], parts[-1]) == found


@given(changes)
def test_an_event_has_one_line_a_field(change: Change) -> None:
    *blocks, rest = change.encoded.decode().split("\n\n")
    assert rest == ""
    assert len(blocks) == (2 if change.reset else 1)
    id_line, kind, data = blocks[-1].split("\n")
    assert (id_line, kind) == ("id: n:1", "event: change")
    found = json.loads(data.removeprefix("data: "))
    assert change.page is not None
    assert found["list"] == {"count": change.page.count, "changed": change.page.changed}
    assert found.get("ids") == (None if change.ids is None else [*change.ids])
    assert ("many" in found) == (change.ids is None)


@given(event_ids)
def test_an_event_id_is_read_as_it_was_written(given_id: EventId) -> None:
    assert parse_event_id([(HEADER, str(given_id).encode())]) == given_id


@given(st.lists(st.binary(max_size=60), max_size=3))
def test_any_other_event_id_is_text(values: list[bytes]) -> None:
    found = parse_event_id([(b"x", b"n:1"), *((HEADER, value) for value in values)])
    last = values[-1].decode("latin-1").strip() if values else ""
    assert str(found or "") == (last if not isinstance(found, EventId) else str(found))
    assert (found is None) == (last == "")


def change_of(number: int, looked_s: float = 0.0) -> Change:
    return Change(EventId("n", (number,)), "", (f"og_{number}",), looked_s=looked_s)


def test_a_client_that_does_not_read_gets_one_event() -> None:
    async def main() -> None:
        subscriber = Subscriber(inf, Deadlines())
        for number in range(1000):
            subscriber.offer(change_of(number))
        event = (await subscriber.next()).decode()
        assert event.startswith("id: n:999\n")
        assert '"many":true' in event
        subscriber.end(b"last")
        subscriber.end(b"another")
        subscriber.offer(change_of(1000))
        assert [await subscriber.next() for _ in range(3)] == [b"last", b"", b""]

    asyncio.run(main())


def test_no_second_has_more_than_five_events() -> None:
    async def main() -> None:
        loop, subscriber = asyncio.get_running_loop(), Subscriber(inf, Deadlines())
        looked: list[float] = []
        written: list[float] = []
        for number in range(11):
            looked.append(loop.time())
            subscriber.offer(change_of(number, looked[-1]))
            await subscriber.next()
            written.append(loop.time())
        assert all(later - earlier >= 0.999 for earlier, later in zip(looked, written[5:], strict=False))
        assert written[4] - looked[0] < 0.9, "five at once"

    asyncio.run(main())


def test_an_event_that_was_late_does_not_delay_those_that_follow() -> None:
    async def main() -> None:
        loop, subscriber, ahead_s = asyncio.get_running_loop(), Subscriber(inf, Deadlines()), 0.0
        real = loop.time
        began_s = real()
        loop.time = lambda: real() + ahead_s  # type: ignore[method-assign]
        for number in range(6):
            looked_s = began_s + 10 + 0.2 * number
            # The first one is written 0.15 s after the look that found it.
            ahead_s = looked_s - real() + (0.15 if number == 0 else 0.001)
            subscriber.offer(change_of(number, looked_s))
            with pytest.raises(StopIteration) as returned:
                subscriber.next().send(None)
            assert returned.value.value == change_of(number).encoded

    asyncio.run(main())


def test_the_end_is_not_delayed_by_the_pace() -> None:
    async def main() -> None:
        loop, subscriber = asyncio.get_running_loop(), Subscriber(inf, Deadlines())
        for number in range(5):
            subscriber.offer(change_of(number, loop.time()))
            await subscriber.next()
        subscriber.offer(change_of(5))
        waiting = asyncio.create_task(subscriber.next())
        await asyncio.sleep(0)
        began_s = loop.time()
        subscriber.end(b"last")
        assert await waiting == b"last"
        assert loop.time() - began_s < 0.5

    asyncio.run(main())


def test_an_event_is_due_at_once_a_second_after_the_fifth_before_it() -> None:
    """Each turn of the event loop more is one for each of a thousand streams."""

    async def main() -> None:
        loop, subscriber, ahead_s = asyncio.get_running_loop(), Subscriber(inf, Deadlines()), 0.0
        real = loop.time
        loop.time = lambda: real() + ahead_s  # type: ignore[method-assign]
        for number in range(5):
            subscriber.offer(change_of(number, loop.time()))
            await subscriber.next()
        ahead_s = 1.0
        subscriber.offer(change_of(5))
        with pytest.raises(StopIteration) as returned:
            subscriber.next().send(None)
        assert returned.value.value == change_of(5).encoded

    asyncio.run(main())


def test_heartbeats_come_without_events_and_lose_none() -> None:
    async def main() -> None:
        loop, deadlines, ahead_s = asyncio.get_running_loop(), Deadlines(), 0.0
        real = loop.time
        loop.time = lambda: real() + ahead_s  # type: ignore[method-assign]
        subscribers = [Subscriber(inf, deadlines) for _ in range(3)]
        waiting = [asyncio.create_task(one.next()) for one in subscribers]
        await asyncio.sleep(0)
        ahead_s = HEARTBEAT_S + 1
        assert await asyncio.gather(*waiting) == [HEARTBEAT] * 3
        waiting = [asyncio.create_task(one.next()) for one in subscribers]
        await asyncio.sleep(0)
        for one in subscribers:
            one.offer(change_of(1))
        ahead_s += HEARTBEAT_S + 1
        assert await asyncio.gather(*waiting) == [change_of(1).encoded] * 3

    asyncio.run(main())


def test_events_to_many_streams_make_no_full_collection() -> None:
    """One of all objects of an API with a thousand streams takes 0.1 s, and events wait for it."""
    full = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start" and about["generation"] == 2:
            full.append(about)

    async def follow(subscriber: Subscriber) -> None:
        while await subscriber.next():
            pass

    async def main() -> None:
        loop, deadlines, ahead_s = asyncio.get_running_loop(), Deadlines(), 0.0
        real = loop.time
        loop.time = lambda: real() + ahead_s  # type: ignore[method-assign]
        subscribers = [Subscriber(inf, deadlines) for _ in range(1000)]
        tasks = [asyncio.create_task(follow(one)) for one in subscribers]
        gc.callbacks.append(note)
        for number in range(100):
            ahead_s += 1
            for one in subscribers:
                one.offer(change_of(number, loop.time()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        gc.callbacks.remove(note)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thresholds = gc.get_threshold()
    tune_collector()
    try:
        asyncio.run(main())
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    assert full == []
