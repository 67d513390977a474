"""Changes merged for a client that was not sent them, event ids, and the pace of a stream."""

import asyncio
import json
from collections.abc import Sequence
from functools import reduce
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from api.changes.events import HEADER, Change, EventId, Page, merged, parse_event_id
from api.changes.subscriber import Subscriber

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


def change_of(number: int) -> Change:
    return Change(EventId("n", (number,)), "", (f"og_{number}",))


def test_a_client_that_does_not_read_gets_one_event() -> None:
    async def main() -> None:
        subscriber = Subscriber(inf)
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
        loop, subscriber = asyncio.get_running_loop(), Subscriber(inf)
        times: list[float] = []

        async def read() -> None:
            while await subscriber.next():
                times.append(loop.time())

        reading = asyncio.create_task(read())
        until_s = loop.time() + 2.2
        number = 0
        while loop.time() < until_s:
            number += 1
            subscriber.offer(change_of(number))
            await asyncio.sleep(0.01)
        subscriber.end()
        await reading
        assert len(times) >= 10
        assert all(later - earlier >= 0.999 for earlier, later in zip(times, times[5:], strict=False))

    asyncio.run(main())


def test_the_end_is_not_delayed_by_the_pace() -> None:
    async def main() -> None:
        loop, subscriber = asyncio.get_running_loop(), Subscriber(inf)
        for number in range(5):
            subscriber.offer(change_of(number))
            await subscriber.next()
        subscriber.offer(change_of(5))
        waiting = asyncio.create_task(subscriber.next())
        await asyncio.sleep(0)
        began_s = loop.time()
        subscriber.end(b"last")
        assert await waiting == b"last"
        assert loop.time() - began_s < 0.5

    asyncio.run(main())
