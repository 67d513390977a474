"""Random queries about groups that the real projector has made of events, beside independent code.

The events say what is right: tests/oracle.py folds them, naive.py filters and sorts. Each page says by its
X-Projection-Position which events it reflects, so a writer may go on all the while.
"""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from events.logs.log import Entry
from events.logs.open import open_log
from tests import oracle
from tests.fields import TIME_FIELDS, VALUE_FIELDS
from tests.integration.naive import Request, matches, ordered, shown
from tests.integration.queries import query_string, random_request, shown_as_json
from tests.integration.seed import CHANNELS, SELLERS, STATUSES, Group, go_live, iso, make_groups
from tests.processes import Api, Process, wait_until_applied
from tests.servers.cluster import Place
from tests.servers.process import wait_until
from tests.thorough import thorough

GROUPS = 3000
QUERIES = 300
# Where several shards have been written, of which each may be at another position as long as somebody writes.
QUERIES_SHARDS = 60
# Rows that are compared for a query, in pages: the whole of most lists.
PAGES_MAX = 6
PARTITION = "orders/0"
# How the API is to find a page: as it likes, or each query another way.
WAYS = {"its own way": {}, "every way": {"PYTHONPATH": str(Path(__file__).parent / "every_way")}}
# Where the queries take their values from: the groups before any change, for a change to some is of little account.
SEED = 11
SAMPLE = make_groups(random.Random(SEED), GROUPS)

Event = dict[str, Any]


def created_events(rng: random.Random) -> list[Event]:
    """Some of each group's orders come twice, a few are taken out again, and all of it is out of order."""
    events: list[Event] = []
    for group in SAMPLE:
        for order in group["orders"]:
            data = {
                **{name: value for name, value in order.items() if name not in ("created_at", "updated_at", "total")},
                "order_group_id": group["id"],
                "order_group_display_id": group["display_id"],
                "cart_id": group["cart_id"],
                "total": str(order["total"]),
                "created_at": iso(order["created_at"]),
                "updated_at": iso(order["updated_at"]),
                "version": 1,
            }
            events.append(event(len(events), "order.created", data))
            if rng.random() < 0.1:
                events.append(change(rng, len(events), data, 2))
    rng.shuffle(events)
    return events + rng.choices(events, k=len(events) // 10)


def event(number: int, kind: str, data: dict[str, Any]) -> Event:
    return {"specversion": "1.0", "id": f"evt_{number}", "source": "/shop", "type": kind, "data": data}


def change(rng: random.Random, number: int, created: dict[str, Any], version: int) -> Event:
    data = {name: created[name] for name in ("id", "order_group_id")}
    later = oracle.parse_time(created["updated_at"]).timestamp() + rng.randrange(1, 5) * 60 * version
    patch = rng.choice(
        (
            {"status": rng.choice(STATUSES)},
            {"total": rng.choice(("0.3", "12", "-1.5"))},
            {"seller_id": rng.choice(SELLERS), "sales_channel_id": rng.choice(CHANNELS)},
            {"order_group_display_id": rng.randrange(50)},
            {"customer_id": rng.choice((None, "cus_1", "cus_straße"))},
            {"deleted_at": created["updated_at"]},
        )
    )
    return event(number, "order.updated", {**data, **patch, "version": version, "updated_at": iso(int(later) * 1000)})


def seeded(document: Group) -> Group:
    """A group of the oracle as those of seed.py: times as Unix milliseconds."""
    times = {name: _ms(document[name]) for name in ("created_at", "updated_at")}
    return {**document, **times, "orders": [{**order, **_order_times(order)} for order in document["orders"]]}


def _order_times(order: Group) -> dict[str, int]:
    return {name: _ms(order[name]) for name in ("created_at", "updated_at")}


def _ms(text: str) -> int:
    return round(oracle.parse_time(text).timestamp() * 1000)


class Events:
    """All events in the order of the log, and the groups at each position that was asked for lately."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._orders: dict[str, list[Event]] = {}
        self._groups: dict[str, Group | None] = {}
        self._at = 0

    def at(self, position: int) -> list[Group]:
        """The groups after that many events. Folds anew only those that changed since the last time, which was not
        later than this one."""
        assert position >= self._at, "positions of one client never go back"
        changed = set()
        for one in self.events[self._at : position]:
            group_id = one["data"]["order_group_id"]
            self._orders.setdefault(group_id, []).append(one)
            changed.add(group_id)
        for group_id in changed:
            found = oracle.groups(self._orders[group_id])
            self._groups[group_id] = seeded(found[group_id]) if found else None
        self._at = position
        return [group for group in self._groups.values() if group is not None]


def append(url: str, events: Sequence[Event]) -> int:
    """The end of the log."""
    with open_log(url, {}) as log:
        log.create()
        for start in range(0, len(events), 500):
            log.append([Entry(None, json.dumps(one).encode()) for one in events[start : start + 500]])
        ((_, end),) = log.end().items()
        return end


class Writer(threading.Thread):
    """Changes to random orders, some at a time, until it is stopped. They are in `events` before the log."""

    def __init__(self, url: str, events: Events, rng: random.Random) -> None:
        super().__init__(name="writer")
        self._url, self._events, self._rng = url, events, rng
        self._created = [one["data"] for one in events.events if one["type"] == "order.created"]
        self._stopping = threading.Event()
        self.written = 0

    def run(self) -> None:
        version = 10
        while not self._stopping.wait(0.02):
            version += 1
            known = len(self._events.events)
            new = [change(self._rng, known + n, self._rng.choice(self._created), version) for n in range(10)]
            self._events.events.extend(new)
            append(self._url, new)
            self.written += len(new)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def with_empty(rng: random.Random, request: Request, query: str) -> str:
    """Empty values, which are no filter, at times."""
    names = {*VALUE_FIELDS, *TIME_FIELDS, "q"}
    free = sorted(names - request.any_of.keys() - request.ranges.keys() - ({"q"} if request.q else set()))
    chosen = rng.sample(free, rng.choice((0, 0, 0, 1, 2)))
    return "&".join([query, *(rng.choice((f"{name}=", name)) for name in chosen)])


def pages(api: Api, rng: random.Random, request: Request) -> Iterator[tuple[Request, str, httpx.Response]]:
    """Page by page until the list ends, or after PAGES_MAX."""
    for _ in range(PAGES_MAX):
        query = with_empty(rng, request, query_string(rng, request))
        response = api.client.get(f"/admin/order-groups?{query}")
        assert response.status_code == 200, (query, response.text)
        yield request, query, response
        if request.limit == 0 or request.offset + request.limit >= response.json()["count"]:
            return
        request.offset += request.limit


def check(page: httpx.Response, request: Request, query: str, groups: Sequence[Group]) -> int:
    """Rows, order and count. Returns the count."""
    found = json.loads(page.content, parse_float=Decimal)
    matching = ordered([group for group in groups if matches(group, request)], request.sort, request.descending)
    rows = matching[request.offset : request.offset + request.limit]
    assert found["order_groups"] == [shown_as_json(shown(group, request)) for group in rows], query
    assert found["count"] == len(matching), query
    assert (found["offset"], found["limit"]) == (request.offset, request.limit)
    return len(matching)


def ask_all(api: Api, rng: random.Random, events: Events, queries: int = QUERIES) -> tuple[list[int], set[int]]:
    """The counts, and the positions that the pages reflected."""
    counts, positions = [], set()
    for _ in range(queries):
        request = random_request(rng, SAMPLE)
        for asked, query, page in pages(api, rng, request):
            partition, _, offset = page.headers["X-Projection-Position"].partition("@")
            assert partition == PARTITION
            positions.add(int(offset))
            counts.append(check(page, asked, query, events.at(int(offset))))
    return counts, positions


@pytest.mark.timeout(240)
@pytest.mark.parametrize("ways", ["every way", *thorough("its own way")])
def test_every_page_is_that_of_the_events_it_reflects(one_redis_url: str, tmp_path: Path, ways: str) -> None:
    rng = random.Random(SEED)
    events = Events()
    events.events = created_events(rng)
    url = f"sqlite://{tmp_path}/orders.db"
    end = append(url, events.events)
    assert end == len(events.events) > 6000
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with (
        redis.Redis.from_url(one_redis_url) as client,
        Process("run", cwd=tmp_path, **settings) as run,
        Api(tmp_path, one_redis_url, ACCESS_LOG="off", **WAYS[ways]) as api,
    ):
        wait_until_applied(client, {PARTITION: end})
        writer = Writer(url, events, rng)
        writer.start()
        try:
            counts, positions = ask_all(api, random.Random(12), events)
        finally:
            writer.stop()
        assert len(positions) > 50, "the writer was to go on meanwhile"
        assert writer.written > 500
        wait_until_applied(client, {PARTITION: len(events.events)})
        counts_after, positions_after = ask_all(api, random.Random(13), events)
        assert positions_after == {len(events.events)}
        assert run.stop() == 0
        assert api.stop() == 0
        assert ("every way" in api.text()) == (ways == "every way")
    for found in (counts, counts_after):
        assert sum(count > 0 for count in found) > QUERIES / 2
        assert sum(count > 100 for count in found) > QUERIES / 8


@pytest.mark.parametrize(("shards", "ways"), [(3, "every way"), *thorough((16, "its own way"))])
def test_every_page_of_several_shards_is_that_of_all_events(
    any_redis: Place, tmp_path: Path, shards: int, ways: str
) -> None:
    rng = random.Random(shards)
    events = Events()
    events.events = created_events(rng)
    created = [one["data"] for one in events.events if one["type"] == "order.created"]
    events.events += [change(rng, 10_000 + n, rng.choice(created), 20 + n) for n in range(500)]
    url = f"sqlite://{tmp_path}/orders.db"
    end = append(url, events.events)
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": any_redis.url}
    with any_redis.client() as client:
        go_live(client, shards=shards)
    with (
        Process("run", cwd=tmp_path, **settings) as run,
        Api(tmp_path, any_redis.url, ACCESS_LOG="off", **WAYS[ways]) as api,
    ):
        reached = f"{PARTITION}@{end}"
        wait_until(lambda: told(api) == reached, 60, reached)
        counts, positions = ask_all(api, random.Random(14), events, QUERIES_SHARDS)
        assert positions == {end}
        assert run.stop() == 0
        assert api.stop() == 0
        assert ("every way" in api.text()) == (ways == "every way")
    assert sum(count > 0 for count in counts) > QUERIES_SHARDS / 2
    assert sum(count > 100 for count in counts) > QUERIES_SHARDS / 8


def told(api: Api) -> str:
    return str(api.client.get("/admin/order-groups?limit=0").headers.get("X-Projection-Position"))
