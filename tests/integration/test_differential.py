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
from tests.fields import ORDER_FIELDS, ORDER_TIMES, TIME_FIELDS, VALUE_FIELDS
from tests.integration.naive import Request, Ties, counted, histogram, matches, ordered, shown
from tests.integration.queries import filters_string, query_string, random_request, shown_as_json, with_counts
from tests.integration.seed import (
    CHANNELS,
    CURRENCIES,
    FULFILLMENTS,
    PAYMENTS,
    SELLERS,
    STATUSES,
    Group,
    go_live,
    iso,
    make_groups,
)
from tests.processes import Api, Process, wait_until_applied
from tests.servers.cluster import Place
from tests.servers.process import wait_until
from tests.thorough import thorough

GROUPS = 3000
QUERIES = 300
QUICK_QUERIES = 40
ATTEMPTS_MAX = 5
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
                **{name: order[name] for name in ORDER_FIELDS if name not in (*ORDER_TIMES, "total")},
                "seller_name": order["seller"]["name"],
                "customer_first_name": order["customer"]["first_name"],
                "customer_last_name": order["customer"]["last_name"],
                "order_group_id": group["id"],
                "order_group_display_id": group["display_id"],
                "cart_id": group["cart_id"],
                "total": str(order["total"]),
                "created_at": iso(order["created_at"]),
                "updated_at": iso(order["updated_at"]),
                "canceled_at": order["canceled_at"] and iso(order["canceled_at"]),
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
            # Some sellers come with one order, and go with it.
            {"seller_id": rng.choice((*SELLERS, f"sel_{number % 997}")), "sales_channel_id": rng.choice(CHANNELS)},
            {"order_group_display_id": rng.randrange(50)},
            {"customer_id": rng.choice((None, "cus_1", "cus_straße"))},
            {"deleted_at": created["updated_at"]},
            {"payment_status": rng.choice(PAYMENTS), "fulfillment_status": rng.choice(FULFILLMENTS)},
            {"currency_code": rng.choice((*CURRENCIES, None)), "email": "new@example.com", "seller_name": "Anna's"},
            {"order_group_customer_id": "cus_2", "order_group_created_at": created["updated_at"]},
        )
    )
    return event(number, "order.updated", {**data, **patch, "version": version, "updated_at": iso(int(later) * 1000)})


def seeded(document: Group) -> Group:
    """A group of the oracle as those of seed.py: times as Unix milliseconds."""
    times = {name: _ms(document[name]) for name in ("created_at", "updated_at")}
    return {**document, **times, "orders": [{**order, **_order_times(order)} for order in document["orders"]]}


def _order_times(order: Group) -> dict[str, int]:
    return {name: _ms(order[name]) for name in ORDER_TIMES if order[name]}


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
        response = asked(api, f"/admin/order-groups?{query}")
        yield request, query, response
        # Once is enough.
        request.facets, request.sums = {}, False
        if request.limit == 0 or request.offset + request.limit >= response.json()["count"]:
            return
        request.offset += request.limit


def asked(api: Api, path: str) -> httpx.Response:
    """A 200. Asks again while the machine is too busy for an answer in time, as clients do."""
    for _ in range(ATTEMPTS_MAX):
        response = api.client.get(path)
        if response.status_code != 503:
            break
    assert response.status_code == 200, (path, response.text)
    return response


def ties_in(client: Any, shards: int) -> dict[str, tuple[int, int]]:
    """What decides among equal values, of each group: its ordinal, which never changes, and its shard."""
    return {
        group_id.decode(): (int.from_bytes(member, "big"), shard)
        for shard in range(shards)
        for group_id, member in client.hgetall(f"og:{{0.{shard}}}:ordinal").items()
    }


def check(page: httpx.Response, request: Request, query: str, groups: Sequence[Group], ties: Ties) -> int:
    """Rows, order and count. Returns the count."""
    found = json.loads(page.content, parse_float=Decimal)
    passing = [group for group in groups if matches(group, request)]
    matching = ordered(passing, request.sort, request.descending, ties)
    rows = matching[request.offset : request.offset + request.limit]
    assert found["order_groups"] == [shown_as_json(shown(group, request)) for group in rows], query
    assert found["count"] == len(matching), query
    assert (found["offset"], found["limit"]) == (request.offset, request.limit)
    more = {name: found[name] for name in ("facets", "sums") if name in found}
    assert more == shown_as_json(counted(groups, request, passing)), query
    return len(matching)


def ask_all(
    api: Api, rng: random.Random, events: Events, client: Any, shards: int = 1, queries: int = QUERIES
) -> tuple[list[int], set[int]]:
    """The counts, and the positions that the pages reflected."""
    counts, positions = [], set()
    for _ in range(queries):
        request = random_request(rng, SAMPLE)
        if rng.random() < 0.25:
            request = with_counts(rng, request)
        for part, query, page in pages(api, rng, request):
            partition, _, offset = page.headers["X-Projection-Position"].partition("@")
            assert partition == PARTITION
            positions.add(int(offset))
            counts.append(check(page, part, query, events.at(int(offset)), ties_in(client, shards)))
        if rng.random() < 0.1:
            check_histogram(api, rng, request, events)
    return counts, positions


def check_histogram(api: Api, rng: random.Random, request: Request, events: Events) -> None:
    """Sums take several calls where there is much of it, and the calls of this size are one."""
    unit, request.sums = rng.choice(("day", "week", "month")), rng.random() < 0.5
    query = f"by=created_at:{unit}&{filters_string(rng, request)}{'&sums=total' if request.sums else ''}"
    response = asked(api, f"/admin/order-groups/histogram?{query}")
    groups = events.at(int(response.headers["X-Projection-Position"].partition("@")[2]))
    found = json.loads(response.content, parse_float=Decimal)
    assert found == shown_as_json(histogram(groups, request, unit)), query


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("ways", "queries"), [("every way", QUICK_QUERIES), *thorough(("every way", QUERIES), ("its own way", QUERIES))]
)
def test_every_page_is_that_of_the_events_it_reflects(
    one_redis_url: str, tmp_path: Path, ways: str, queries: int
) -> None:
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
            counts, positions = ask_all(api, random.Random(12), events, client, queries=queries)
        finally:
            writer.stop()
        assert len(positions) > queries / 2, "the writer was to go on meanwhile"
        assert writer.written > queries
        wait_until_applied(client, {PARTITION: len(events.events)})
        counts_after, positions_after = ask_all(api, random.Random(13), events, client, queries=queries)
        assert positions_after == {len(events.events)}
        assert run.stop() == 0
        assert api.stop() == 0
        assert ("every way" in api.text()) == (ways == "every way")
    for found in (counts, counts_after):
        assert sum(count > 0 for count in found) > queries / 2
        assert sum(count > 100 for count in found) > queries / 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("shards", "ways", "queries"), [(3, "every way", QUICK_QUERIES), *thorough((16, "its own way", 500))]
)
def test_every_page_of_several_shards_is_that_of_all_events(
    any_redis: Place, tmp_path: Path, shards: int, ways: str, queries: int
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
        any_redis.client() as client,
        Process("run", cwd=tmp_path, **settings) as run,
        Api(tmp_path, any_redis.url, ACCESS_LOG="off", **WAYS[ways]) as api,
    ):
        reached = f"{PARTITION}@{end}"
        wait_until(lambda: told(api) == reached, 60, reached)
        counts, positions = ask_all(api, random.Random(14), events, client, shards, queries)
        assert positions == {end}
        assert run.stop() == 0
        assert api.stop() == 0
        assert ("every way" in api.text()) == (ways == "every way")
    assert sum(count > 0 for count in counts) > queries / 2
    assert sum(count > 100 for count in counts) > queries / 8


def told(api: Api) -> str:
    return str(api.client.get("/admin/order-groups?limit=0").headers.get("X-Projection-Position"))
