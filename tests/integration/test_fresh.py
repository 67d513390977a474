"""X-Projection-Position, If-None-Match and X-Min-Position, on a real Redis."""

import asyncio
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from redis import Redis

from api.errors import NotYet
from api.freshness.waiting import Waiting
from events.logs.log import Partition
from projector.readmodel.query.engine import Engine
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.integration.client import BEARER, Api, running
from tests.integration.committing import commit
from tests.integration.seed import go_live, make_groups, write
from tests.integration.test_errors import assert_unavailable
from tests.poison import event
from tests.processes import Api as ApiProcess
from tests.processes import token
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer
from tests.thorough import thorough

T = TypeVar("T")

LIST = "/admin/order-groups"
PREFIX = "og:{0.0}:"
CHANNEL = PREFIX + "stored"
WAIT_MS = 400
GROUPS = make_groups(random.Random(7), 30)
KNOWN = LIST + "/" + GROUPS[-1]["id"]
# One for each path to an answer: rank.lua, combine.lua, a filter that matches nothing, one document.
PATHS = (LIST, LIST + "?q=og_", LIST + "?id=", KNOWN)


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        write(client, GROUPS)
        go_live(client)
        client.hset(PREFIX + "position", mapping={"orders/10": 3, "orders/9": 81234, "orders/0": 2**53})
        yield client


@pytest.fixture
def api(redis: "Redis", redis_url: str) -> Iterator[Api]:
    with running(redis_url, projection_wait_ms=WAIT_MS) as api:
        api.wait_until_ready()
        yield api


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(redis_url))
    yield store
    store.nodes.close()


def get(api: Api, path: str, **headers: str) -> httpx.Response:
    return api.get(path, {**BEARER, **{name.replace("_", "-"): value for name, value in headers.items()}})


def calls(client: "Redis") -> dict[str, int]:
    """Returns how often Redis has run each command, also within scripts."""
    stats: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_").replace("|", " "): entry["calls"] for name, entry in stats.items()}


def since(client: "Redis", before: Mapping[str, int]) -> dict[str, int]:
    """Returns the difference, without the commands of the tests."""
    grown = {name: number - before.get(name, 0) for name, number in calls(client).items()}
    return {name: number for name, number in grown.items() if number and name not in ("info", "pubsub numsub")}


# --- what an answer reflects ---


def test_the_header_is_the_positions_in_redis(api: Api, redis: "Redis") -> None:
    for path in PATHS:
        response = get(api, path)
        assert response.status_code == 200
        assert response.headers["X-Projection-Position"] == f"orders/0@{2**53},orders/9@81234,orders/10@3", path
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["Vary"] == "Authorization"
    redis.hset(PREFIX + "position", "orders/10", 4)
    for path in PATHS:
        assert get(api, path).headers["X-Projection-Position"].endswith(",orders/10@4")
    unknown = get(api, LIST + "/og_unknown")
    assert unknown.status_code == 404
    assert unknown.headers["X-Projection-Position"].endswith(",orders/10@4")
    redis.delete(PREFIX + "position")
    for path in PATHS:
        assert get(api, path).headers["X-Projection-Position"] == ""
    redis.delete("og:live")
    assert get(api, LIST).headers["X-Projection-Position"] == ""


def test_an_invalid_position_in_redis_is_a_500(api: Api, redis: "Redis") -> None:
    redis.hset(PREFIX + "position", "orders/10", "x")
    assert get(api, LIST).status_code == 500


def test_an_unfinished_commit_is_a_503(api: Api, redis: "Redis") -> None:
    tag = get(api, LIST).headers["ETag"]
    redis.hset(PREFIX + "position", "unfinished", 1)
    for path in PATHS:
        assert_unavailable(get(api, path))
    assert_unavailable(get(api, LIST, if_none_match=tag))
    redis.hdel(PREFIX + "position", "unfinished")
    assert get(api, LIST).headers["ETag"] == tag


# --- what a client has already ---


def test_a_tag_depends_on_content_and_query_only(api: Api, redis: "Redis", store: Store) -> None:
    paths = [*PATHS, LIST + "?limit=1", LIST + "?limit=2", LIST + "?fields=id", KNOWN + "?fields=id"]
    seen: set[str] = set()
    redis.delete(PREFIX + "position")
    redis.hset(PREFIX + "meta", "version", VERSION)
    for start in (None, 1, 2):
        tags = [get(api, path).headers["ETag"] for path in paths]
        assert [get(api, path).headers["ETag"] for path in paths] == tags
        for tag in tags:
            assert re.fullmatch(r'"[0-9a-f]{16,30}"', tag)
        assert len(set(tags) - seen) == len(paths), "all differ, from each other and from those before"
        seen.update(tags)
        redis.hset(PREFIX + "tally", "orders/0:received", 1)
        assert [get(api, path).headers["ETag"] for path in paths] == tags
        assert commit(store, Generation(0, 1, VERSION), [event(1)], start) == "STORED"
    write(redis, GROUPS, number=1)
    redis.hset("og:{1.0}:position", "orders/0", 3)
    go_live(redis, number=1)
    assert get(api, LIST).headers["ETag"] not in seen


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("path", PATHS)
def test_not_modified_reads_positions_only(api: Api, redis: "Redis", path: str) -> None:
    first = get(api, path)
    tag = first.headers["ETag"]
    documents = redis.hlen(PREFIX + "row")
    redis.delete(PREFIX + "row", PREFIX + "by:created_at", PREFIX + "text")
    assert documents == len(GROUPS)
    before = calls(redis)
    for known in (tag, "W/" + tag, f'"x", {tag} , W/"y"'):
        response = get(api, path, If_None_Match=known)
        assert (response.status_code, response.content) == (304, b"")
        names = ("ETag", "X-Projection-Position", "Cache-Control", "Vary")
        assert [response.headers[name] for name in names] == [first.headers[name] for name in names]
        assert "Content-Type" not in response.headers
    assert since(redis, before) == {"hgetall": 3, "get": 3}


def test_several_tags_and_headers(api: Api, redis: "Redis") -> None:
    tag = get(api, LIST).headers["ETag"]
    two = [("If-None-Match", '"x"'), ("If-None-Match", tag), *BEARER.items()]
    assert api.run(api.client.get(LIST, headers=two)).status_code == 304
    for other in ("", '"x"', tag.strip('"'), "nothing", get(api, LIST + "?limit=1").headers["ETag"]):
        assert get(api, LIST, If_None_Match=other).status_code == 200, other
    redis.hset(PREFIX + "position", "orders/10", 4)
    response = get(api, LIST, If_None_Match=tag)
    assert response.status_code == 200
    assert response.headers["ETag"] != tag


@pytest.mark.usefixtures("quiet")
def test_a_wildcard_matches_an_existing_group_only(api: Api, redis: "Redis") -> None:
    for path in PATHS:
        before = calls(redis)
        assert get(api, path, If_None_Match="*").status_code == 304
        asked = since(redis, before)
        assert asked.get("hget", 0) == (path == KNOWN), "the ordinal of the group, not its document"
        assert "hmget" not in asked
    assert get(api, LIST + "/og_unknown", If_None_Match="*").status_code == 404


def test_an_error_has_no_tag(api: Api, redis: "Redis") -> None:
    tag = get(api, LIST).headers["ETag"]
    redis.delete(PREFIX + "row")
    for path, status in (("?foo=1", 400), ("/og_unknown", 404), ("/a/b", 404), ("", 500)):
        response = get(api, LIST + path)
        assert response.status_code == status
        assert "ETag" not in response.headers
    assert get(api, LIST + "?foo=1", If_None_Match=tag).status_code == 400
    assert get(api, LIST + "?foo=1", If_None_Match="*").status_code == 400
    refused = api.get(LIST, {"If-None-Match": tag})
    assert (refused.status_code, "ETag" in refused.headers) == (401, False)


# --- waiting ---


@pytest.fixture
def empty(redis: "Redis", store: Store) -> Generation:
    """A generation without applied events."""
    redis.flushdb()
    return store.generation()


@pytest.mark.parametrize("value", ["x", "orders/0", "orders/0@-1", "orders/0@1;orders/1@2", "orders/0@1,x"])
def test_a_malformed_position(api: Api, value: str) -> None:
    for path in PATHS:
        response = get(api, path, X_Min_Position=value)
        assert response.status_code == 400
        body = response.json()
        assert body["type"] == "invalid_data"
        assert "'orders/0@81235,orders/1@7' for header 'X-Min-Position'" in body["message"]
        assert body["message"].endswith(f"got: '{value.split(',')[-1]}'")


def test_a_reached_position_is_answered_immediately(api: Api) -> None:
    for path in PATHS:
        start_s = time.monotonic()
        for value in ("orders/9@81234", "orders/9@1,orders/10@3", "", "orders/77@0"):
            assert get(api, path, X_Min_Position=value).status_code == 200
        assert time.monotonic() - start_s < WAIT_MS / 1000


def assert_not_yet(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert "ETag" not in response.headers
    assert response.json()["type"] == "unavailable"
    assert "X-Min-Position" in response.json()["message"]


@pytest.mark.parametrize("value", ["orders/9@81235", *thorough("orders/77@1", "orders/9@1,other/0@1")])
def test_a_position_that_is_not_reached_in_time(api: Api, value: str) -> None:
    for path in PATHS:
        start_s = time.monotonic()
        assert_not_yet(get(api, path, X_Min_Position=value))
        assert WAIT_MS / 1000 <= time.monotonic() - start_s < WAIT_MS / 1000 + 0.5
    tag = get(api, LIST).headers["ETag"]
    assert_not_yet(get(api, LIST, X_Min_Position=value, If_None_Match=tag))


def test_a_wait_of_zero(redis: "Redis", redis_url: str) -> None:
    with running(redis_url, projection_wait_ms=0) as api:
        assert get(api, LIST, X_Min_Position="orders/9@81234").status_code == 200
        start_s = time.monotonic()
        assert_not_yet(get(api, LIST, X_Min_Position="orders/9@81235"))
        assert time.monotonic() - start_s < 0.5
        assert redis.pubsub_numsub(CHANNEL) == [(CHANNEL.encode(), 0)]


def patient(redis_url: str) -> AbstractContextManager[Api]:
    """An API whose requests wait so long that a hanging one is noticed."""
    return running(redis_url, projection_wait_ms=30_000, request_timeout_ms=40_000, concurrency_max=1000)


@asynccontextmanager
async def in_background(requests: Awaitable[T]) -> AsyncIterator["asyncio.Future[T]"]:
    future = asyncio.ensure_future(requests)
    try:
        yield future
    finally:
        future.cancel()
        await asyncio.gather(future, return_exceptions=True)


async def subscribed(client: "Redis", channel: str = CHANNEL) -> None:
    """Waits until the API has subscribed and read the positions once."""
    await asyncio.to_thread(wait_until, lambda: client.pubsub_numsub(channel)[0][1] == 1, 10, "a subscription")


@pytest.mark.usefixtures("quiet")
def test_two_hundred_wait_for_one_message(redis: "Redis", redis_url: str, store: Store, empty: Generation) -> None:
    crowd = 200

    async def ask(api: Api, limit: int, order: str) -> httpx.Response:
        query = f"?limit={limit}&order={order}"
        return await api.client.get(LIST + query, headers={**BEARER, "X-Min-Position": "orders/0@2"})

    async def scene(api: Api) -> None:
        assert (await api.client.get(LIST, headers=BEARER)).status_code == 200
        # No page is so large that its documents are read after it, and no two are the same.
        limits = [n % 100 + 1 for n in range(crowd)]
        orders = ["-created_at" if n < 100 else "created_at" for n in range(crowd)]
        async with in_background(asyncio.gather(*map(ask, [api] * crowd, limits, orders))) as answers:
            await subscribed(redis)
            assert commit(store, empty, [event(1)], None) == "STORED"
            before = calls(redis)
            # Not to wait for something, but to see that nothing is asked meanwhile, except once a second for all.
            await asyncio.sleep(2.2)
            waited = since(redis, before)
            assert waited.pop("ping", 0) <= 3
            assert waited.pop("hgetall", 0) <= 3
            assert waited.pop("get", 0) <= 3
            assert waited == {}
            assert not answers.done()
            assert redis.pubsub_numsub(CHANNEL) == [(CHANNEL.encode(), 1)], "one connection listens for all"
            before = calls(redis)
            assert commit(store, empty, [event(2)], 1) == "STORED"
            for limit, response in zip(limits, await answers, strict=True):
                assert response.status_code == 200
                assert response.headers["X-Projection-Position"] == "orders/0@2"
                assert len(response.json()["order_groups"]) == min(limit, 2)
            asked = since(redis, before)
            assert asked["publish"] == 1
            assert asked["evalsha"] == crowd + 2, "each its list, the commit, and the load before it"
            assert asked["hgetall"] <= crowd + 1, "each with its list, and at most the look of that second"

    with patient(redis_url) as api:
        api.wait_until_ready()
        api.run(scene(api))


def test_a_request_for_two_partitions_waits_for_both(redis: "Redis", redis_url: str, store: Store) -> None:
    async def scene(api: Api) -> None:
        wanted = {**BEARER, "X-Min-Position": "orders/0@1,orders/1@1"}
        for path in (LIST, LIST + "/og_2"):
            redis.flushdb()
            generation = store.generation()
            async with in_background(api.client.get(path, headers=wanted)) as answer:
                await subscribed(redis)
                assert commit(store, generation, [event(1)], None) == "STORED"
                response = await api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@1"})
                assert response.headers["X-Projection-Position"] == "orders/0@1"
                assert not answer.done()
                assert commit(store, generation, [event(2)], None, Partition("orders", 1)) == "STORED"
                assert (await answer).status_code == 200
                assert answer.result().headers["X-Projection-Position"] == "orders/0@1,orders/1@1"

    with patient(redis_url) as api:
        api.run(scene(api))


def test_a_waiting_request_follows_the_live_generation(redis: "Redis", redis_url: str) -> None:
    async def scene(api: Api) -> None:
        headers = {**BEARER, "X-Min-Position": "orders/0@7"}
        redis.delete(PREFIX + "position")
        async with in_background(api.client.get(LIST, headers=headers)) as answer:
            await subscribed(redis)
            write(redis, GROUPS[:3], number=1)
            redis.hset("og:{1.0}:position", "orders/0", 7)
            go_live(redis, number=1)
            response = await answer
            assert response.status_code == 200
            assert response.json()["count"] == 3
        async with in_background(api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@8"})) as answer:
            await subscribed(redis, "og:{1.0}:stored")
            redis.hset("og:{1.0}:position", "orders/0", 8)
            redis.publish("og:{1.0}:stored", '{"orders/0":"8"}')
            assert (await answer).headers["X-Projection-Position"] == "orders/0@8"

    with patient(redis_url) as api:
        api.run(scene(api))


def test_waiting_before_a_generation_is_live(redis: "Redis", redis_url: str, store: Store) -> None:
    async def scene(api: Api) -> None:
        async with in_background(api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@1"})) as answer:
            await asyncio.sleep(0)
            generation = store.generation()
            assert commit(store, generation, [event(1)], None) == "STORED"
            assert (await answer).json()["count"] == 1

    redis.flushdb()
    with patient(redis_url) as api:
        api.run(scene(api))


def test_positions_that_redis_has_lost_do_not_count(
    redis: "Redis", redis_url: str, store: Store, empty: Generation
) -> None:
    """Published positions may be lost: those of the answer decide."""

    async def scene(api: Api) -> None:
        headers = {**BEARER, "X-Min-Position": "orders/0@2"}
        async with in_background(api.client.get(LIST, headers=headers)) as answer:
            await subscribed(redis)
            assert commit(store, empty, [event(1), event(2)], None) == "STORED"
            assert (await answer).status_code == 200
        redis.flushdb()
        generation = store.generation()
        async with in_background(api.client.get(LIST, headers=headers)) as answer:
            assert commit(store, generation, [event(1)], None) == "STORED"
            response = await api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@1"})
            assert response.headers["X-Projection-Position"] == "orders/0@1"
            assert not answer.done()
            assert commit(store, generation, [event(2)], 1) == "STORED"
            assert (await answer).headers["X-Projection-Position"] == "orders/0@2"

    with patient(redis_url) as api:
        api.run(scene(api))


def test_a_lost_subscription_is_opened_again(redis: "Redis", redis_url: str, store: Store, empty: Generation) -> None:
    async def scene(api: Api) -> None:
        async with in_background(api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@1"})) as answer:
            await subscribed(redis)
            assert redis.client_kill_filter(_type="pubsub") == 1
            assert commit(store, empty, [event(1)], None) == "STORED"
            start_s = time.monotonic()
            assert (await answer).status_code == 200
            assert time.monotonic() - start_s < 0.8, "sooner than the look that comes once a second"

    with patient(redis_url) as api:
        api.run(scene(api))


def test_redis_restarts_while_a_request_waits(redis_home: RedisHome) -> None:
    with RedisServer(redis_home) as server, server.client() as client:
        store = Store(Nodes(server.url))
        generation = store.generation()

        async def scene(api: Api) -> None:
            requests = [
                api.client.get(f"{LIST}?limit={n}", headers={**BEARER, "X-Min-Position": "orders/0@1"})
                for n in range(20)
            ]
            async with in_background(asyncio.gather(*requests)) as answers:
                await subscribed(client)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.restart)
                assert not answers.done()
                assert commit(store, generation, [event(1)], None) == "STORED"
                for response in await answers:
                    assert response.status_code == 200, response.text
                    assert response.headers["X-Projection-Position"] == "orders/0@1"

        with patient(server.url) as api:
            api.run(scene(api))
        store.nodes.close()


class WaitingClient:
    """Disconnects with the event. `slots_released`: how often a slot was released and not retaken."""

    def __init__(self, disconnects: asyncio.Event) -> None:
        self._disconnects = disconnects
        self.slots_released = 0

    async def disconnected(self) -> None:
        await self._disconnects.wait()

    def release_slot(self) -> None:
        self.slots_released += 1

    def retake_slot(self) -> None:
        self.slots_released -= 1


def test_a_waiting_request_holds_no_slot(redis_url: str, tmp_path: Path) -> None:
    """Twenty requests wait where two may be concurrent: others are served meanwhile, and then all twenty."""
    store = Store(Nodes(redis_url))
    generation = store.generation()
    with ApiProcess(tmp_path, redis_url, API_CONCURRENCY_MAX="2", PROJECTION_WAIT_MS="4000") as api:
        asked = {"X-Min-Position": "orders/0@1"}
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(api.client.get, "/admin/order-groups", headers=asked) for _ in range(20)]
            gauge = "order_groups_api_waiting 20.0"
            wait_until(lambda: gauge in api.client.get("/metrics").text, 4, "all twenty to wait")
            for _ in range(5):
                assert api.client.get("/admin/order-groups").status_code == 200
            assert not any(answer.done() for answer in waiting)
            assert commit(store, generation, [event(1)], None) == "STORED"
            assert [answer.result().status_code for answer in waiting] == [200] * 20
    store.nodes.close()


def test_a_disconnected_or_cancelled_request_is_forgotten(redis: "Redis", redis_url: str) -> None:
    async def scene() -> None:
        engine = Engine(redis_url, 900, 4, 0)
        waiting = Waiting(engine, 900, 30_000)
        gone = asyncio.Event()

        stays, leaves = WaitingClient(asyncio.Event()), WaitingClient(gone)
        cancelled = [asyncio.create_task(waiting.fresh({"x/0": 1}, engine.snapshot, stays)) for _ in range(50)]
        left = [asyncio.create_task(waiting.fresh({"x/0": 1}, engine.snapshot, leaves)) for _ in range(50)]
        await subscribed(redis)
        assert len(waiting) == 100
        for task in cancelled:
            task.cancel()
        start_s = time.monotonic()
        gone.set()
        results = await asyncio.gather(*cancelled, *left, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 50 + [NotYet] * 50
        assert time.monotonic() - start_s < 5
        assert len(waiting) == 0
        assert (stays.slots_released, leaves.slots_released) == (0, 0)
        await waiting.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(wait_until, lambda: redis.pubsub_numsub(CHANNEL)[0][1] == 0, 10, "nobody listens")

    asyncio.run(scene())


def test_the_server_stops_waiting_for_a_disconnected_client(redis: "Redis", redis_url: str, tmp_path: Path) -> None:
    """Otherwise it would wait to the end, also while it stops."""
    with ApiProcess(tmp_path, redis_url, PROJECTION_WAIT_MS="4000") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = (f"GET {LIST} HTTP/1.1", "Host: x", f"Authorization: Bearer {token()}", "X-Min-Position: x/0@1")
            client.sendall("\r\n".join((*head, "", "")).encode())
            wait_until(lambda: redis.pubsub_numsub(CHANNEL)[0][1] == 1, 10, "a subscription")
            start_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start_s < 2


def test_a_commit_at_any_time_ends_the_wait(redis: "Redis", redis_url: str, store: Store, empty: Generation) -> None:
    """Commits before, during and after subscribing: no request waits for the check once a second."""
    rng = random.Random(11)
    rounds = 300

    async def scene() -> None:
        engine = Engine(redis_url, 900, 4, 0)
        for offset in range(rounds):
            waiting = Waiting(engine, 900, 10_000)
            written = asyncio.create_task(commit_after(rng.random() * 0.006, offset))
            start_s = time.monotonic()
            now = await waiting.fresh({"orders/0": offset + 1}, engine.snapshot, WaitingClient(asyncio.Event()))
            assert now.positions == {"orders/0": offset + 1}
            assert time.monotonic() - start_s < 0.8
            await written
            await waiting.close()
        await engine.close()

    async def commit_after(pause_s: float, offset: int) -> None:
        await asyncio.sleep(pause_s)
        assert await asyncio.to_thread(commit, store, empty, [event(offset)], offset or None) == "STORED"

    asyncio.run(scene())
    assert redis.hgetall(PREFIX + "position") == {b"orders/0": b"%d" % rounds}
