"""The list from several shards, on one Redis and on a cluster, against the naive answer."""

import asyncio
import json
import random
import threading
from bisect import insort
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from api.params.query import parse_list
from projector.readmodel.query.calls import Window
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.page import spans
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.query import Query
from tests.fields import SORT_FIELDS
from tests.integration.client import BEARER, Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import query_string, random_request, shown_as_json
from tests.integration.seed import by_shard, columns_head, go_live, make_groups, member, ordinal_at, shard_of, write
from tests.integration.ways import NEVER, force
from tests.servers.cluster import Place
from tests.thorough import thorough

LIST = "/admin/order-groups"
GROUPS = make_groups(random.Random(20261124), 1000)
# A cluster has six servers, and a busy machine two processors.
PATIENT = {"redis_wait_ms": 5_000, "request_timeout_ms": 20_000}
QUERIES = 100
# Enough for the middle of the list in sixteen shards to be narrowed down before it is read.
MANY = make_groups(random.Random(5), 4000)


@pytest.fixture
def api(any_redis: Place) -> Iterator[Api]:
    with running(any_redis.url, **PATIENT) as api:
        yield api


@pytest.mark.parametrize("shards", [3, 16])
def test_random_queries(api: Api, client: Any, shards: int) -> None:
    write(client, GROUPS, shards=shards)
    go_live(client, shards=shards)
    rng = random.Random(shards)
    counts = []
    for _ in range(QUERIES):
        request = random_request(rng, GROUPS)
        query = query_string(rng, request)
        wanted = shown_as_json(answer(GROUPS, request, shards))
        assert api.list(query) == wanted, query
        counts.append(wanted["count"])
    assert sum(count > 0 for count in counts) > QUERIES / 2
    assert sum(count > 100 for count in counts) > QUERIES / 8


BY_SLICES = {"FEW_MEMBERS": NEVER, "WALKED_GROUPS": NEVER, "LISTED_GROUPS": 4}


@pytest.mark.parametrize(
    ("shards", "spare", "thresholds", "step"),
    [
        (3, 0, BY_SLICES, 16),
        *thorough((3, spans.SPARE_MAX, {}, 1), (16, spans.SPARE_MAX, {}, 2), (64, spans.SPARE_MAX, {}, 2)),
    ],
)
def test_deep_pages_with_many_ties(
    api: Api,
    client: Any,
    shards: int,
    spare: int,
    thresholds: dict[str, int],
    step: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`step`: of the longest ladder, at least."""
    force(monkeypatch, **thresholds)
    monkeypatch.setattr("projector.readmodel.query.page.spans.SPARE_MAX", spare)
    steps: list[int] = []

    def windows(*arguments: Any) -> list[Window]:
        found = spans.windows(*arguments)
        steps.extend(window.step for window in found)
        return found

    monkeypatch.setattr("projector.readmodel.query.page.paging.windows", windows)
    write(client, MANY, shards=shards)
    go_live(client, shards=shards)
    rng = random.Random(shards)
    for sort, descending, (name, value) in product(SORT_FIELDS, (False, True), (("", ""), ("status", "pending"))):
        request = Request(sort=sort, descending=descending, any_of={name: [value]} if name else {})
        count = answer(MANY, request)["count"]
        last = count - rng.randrange(40)
        for request.offset in (rng.randrange(count), rng.randrange(count), last, count):
            request.limit = rng.choice((1, 7, 100))
            query = f"limit={request.limit}&offset={request.offset}&order={'-' if descending else ''}{sort}"
            found = api.list(f"{query}&{name}={value}" if name else query)
            assert found == shown_as_json(answer(MANY, request, shards)), query
    assert max(steps) >= step


def test_a_shard_may_be_empty_or_have_everything(api: Api, client: Any) -> None:
    groups = [group for group in MANY if shard_of(group["id"], 3) == 1]
    assert len(groups) > 1200
    write(client, groups, shards=3)
    go_live(client, shards=3)
    for limit, offset in ((50, 0), (7, 900), (7, 1200), (1000, 700), (3, len(groups) - 2), (3, len(groups)), (0, 0)):
        found = api.list(f"limit={limit}&offset={offset}")
        assert found == shown_as_json(answer(groups, Request(limit, offset), 3))


def test_one_group(api: Api, client: Any) -> None:
    write(client, GROUPS[:40], shards=16)
    go_live(client, shards=16)
    for group in GROUPS[:40]:
        response = api.get(f"{LIST}/{quote(group['id'], safe='')}?fields=id")
        assert response.json() == {"order_group": {"id": group["id"]}}
    assert api.get(f"{LIST}/og_unknown").status_code == 404


# --- while it changes ---


# created_at, ordinal, shard: in the order of the list.
SortKey = tuple[int, int, int]


def named(place: SortKey) -> bytes:
    """Stands for the row of a group."""
    created, ordinal, shard = place
    return b'"%d %d %d"' % (created, ordinal, shard)


class Writer(threading.Thread):
    """Adds, moves and removes groups in one shard after the other, each time with that shard's next position.

    `states` has the groups of each shard at each position, in the order of the list.
    """

    def __init__(self, client: Redis, states: list[list[SortKey]]) -> None:
        super().__init__(name="writer")
        self._client, self._rng = client, random.Random(3)
        self._stopping = threading.Event()
        self.states = [[state] for state in states]
        self._next = [max(ordinal for _, ordinal, _ in state) + 1 for state in states]

    def run(self) -> None:
        while not self._stopping.is_set():
            for shard in range(len(self.states)):
                self._step(shard)

    def _step(self, shard: int) -> None:
        states = self.states[shard]
        after = list(states[-1])
        pipeline = self._client.pipeline(transaction=True)
        for place in self._rng.sample(after, 3):
            after.remove(place)
            pipeline.zrem(f"og:{{0.{shard}}}:by:created_at", member(place[1]))
            pipeline.hdel(f"og:{{0.{shard}}}:row", member(place[1]))
        for place in [*self._rng.sample(after, 3), self._new(shard), self._new(shard)]:
            moved = (place[0] + self._rng.choice((0, 3_600_000)), *place[1:])
            if place in after:
                after.remove(place)
            insort(after, moved)
            put(pipeline, moved)
        pipeline.hset(f"og:{{0.{shard}}}:position", "orders/0", len(states))
        # Known before it can be read.
        states.append(after)
        pipeline.execute()

    def _new(self, shard: int) -> SortKey:
        self._next[shard] += 1
        return 1780272000000 + self._rng.randrange(60) * 3_600_000, self._next[shard], shard

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def put(pipeline: Any, place: SortKey) -> None:
    created, ordinal, shard = place
    columns = {"created_at": created, "updated_at": 0, "total": Decimal(0), "seller_count": 1, "display_id": None}
    pipeline.zadd(f"og:{{0.{shard}}}:by:created_at", {member(ordinal): created})
    pipeline.hset(f"og:{{0.{shard}}}:row", member(ordinal), columns_head(columns) + named(place))


def test_each_page_is_that_of_the_positions_of_its_shards(redis_url: str) -> None:
    """Deep ones too, with writes in between their rounds."""
    shards = 16
    with Redis.from_url(redis_url) as client:
        write(client, MANY, shards=shards)
        found = by_shard(MANY, 0, shards)
        states: list[list[SortKey]] = []
        for shard in range(shards):
            groups = found[f"og:{{0.{shard}}}:"]
            states.append(sorted((group["created_at"], ordinal_at(n), shard) for n, group in enumerate(groups)))
            for place in states[-1]:
                put(client, place)
            client.hset(f"og:{{0.{shard}}}:position", "orders/0", 0)
        go_live(client, shards=shards)
        writer = Writer(client, states)
        writer.start()
        try:
            positions = asyncio.run(_ask(redis_url, writer))
        finally:
            writer.stop()
    assert len(positions) > 100, "the writer was to go on meanwhile"


async def _ask(redis_url: str, writer: Writer) -> set[tuple[int, ...]]:
    engine, rng, seen = Engine(redis_url, 900, 4, 0), random.Random(4), set()
    for _ in range(150):
        query = parse_list(
            f"limit={rng.choice((0, 1, 20, 500))}&offset={rng.choice((0, 30, rng.randrange(4000)))}"
            f"&order={rng.choice(('', '-'))}created_at"
        )
        found = await engine.list(query)
        at = tuple(positions["orders/0"] for positions in found.snapshot.shards)
        assert found.snapshot.text == f"orders/0@{min(at)}"
        _check(found, query, [states[position] for states, position in zip(writer.states, at, strict=True)])
        seen.add(at)
    await engine.close()
    return seen


def _check(found: Answer, query: Query, shards: list[list[SortKey]]) -> None:
    places = sorted((place for shard in shards for place in shard), reverse=query.descending)
    rows = [named(place) for place in places[query.offset : query.offset + query.limit]]
    assert (found.count, list(found.rows)) == (len(places), rows)


# --- while another generation goes live ---

GENERATIONS = {0: (3, GROUPS[:300]), 1: (1, GROUPS[300:500]), 2: (16, GROUPS[500:])}


@pytest.fixture
def generations(client: Any) -> None:
    for number, (shards, groups) in GENERATIONS.items():
        write(client, groups, number, shards)


def test_who_comes_after_the_switch_gets_the_new_generation(api: Api, client: Any, generations: None) -> None:
    for number in (0, 1, 2, 0, 2, 1, 0):
        shards, groups = GENERATIONS[number]
        go_live(client, number, shards)
        request = Request(limit=7, offset=90)
        assert api.list("limit=7&offset=90") == shown_as_json(answer(groups, request, shards))
        assert api.get(f"{LIST}/{groups[50]['id']}").status_code == 200


def test_each_page_is_of_one_generation(any_redis: Place, client: Any, generations: None) -> None:
    requests = [
        Request(limit=limit, offset=offset) for limit, offset in ((50, 0), (7, 90), (0, 0), (100, 150), (1000, 3))
    ]
    whole = {
        (n, number): shown_as_json(answer(groups, request, shards))
        for n, request in enumerate(requests)
        for number, (shards, groups) in GENERATIONS.items()
    }
    stopping, rng, seen = threading.Event(), random.Random(6), set()

    def switch() -> None:
        with any_redis.client() as mine:
            while not stopping.wait(0.003):
                number = rng.choice((0, 1, 2))
                go_live(mine, number, GENERATIONS[number][0])

    async def walk(api: Api) -> None:
        for _ in range(60):
            n = rng.randrange(len(requests))
            request = requests[n]
            path = f"{LIST}?limit={request.limit}&offset={request.offset}"
            for page in await asyncio.gather(*(api.client.get(path, headers=BEARER) for _ in range(4))):
                if page.status_code == 503:
                    continue
                body = json.loads(page.content, parse_float=Decimal)
                (number,) = [number for number in GENERATIONS if whole[n, number] == body]
                seen.add((n, number))

    go_live(client, 0, 3)
    switcher = threading.Thread(target=switch)
    switcher.start()
    try:
        with running(any_redis.url, **PATIENT) as api:
            api.run(walk(api))
    finally:
        stopping.set()
        switcher.join()
    assert len(seen) > 6
