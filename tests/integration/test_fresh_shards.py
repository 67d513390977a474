"""Positions of answers from several shards, and waiting for the slowest shard."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from projector.readmodel.schema.keys import VERSION
from tests.integration.client import BEARER, Api, running
from tests.integration.seed import described, go_live, make_groups, serve, write
from tests.integration.test_fresh import LIST, calls, get, in_background, since
from tests.servers.cluster import Place
from tests.servers.process import wait_until

GROUPS = make_groups(random.Random(7), 60)
SHARDS = 3
OTHER = VERSION + 1
KNOWN = f"{LIST}/{GROUPS[-1]['id']}"
# One for each path to an answer: rank.lua, combine.lua, a filter that matches nothing, one document.
PATHS = (LIST, LIST + "?q=og_", LIST + "?id=", KNOWN)


@pytest.fixture
def client(any_redis: Place) -> "Iterator[Redis | RedisCluster]":
    with any_redis.client() as client:
        write(client, GROUPS, shards=SHARDS)
        go_live(client, shards=SHARDS)
        yield client


@pytest.fixture
def api(any_redis: Place, client: Any) -> Iterator[Api]:
    with running(any_redis.url, projection_wait_ms=30_000, request_timeout_ms=40_000) as api:
        api.wait_until_ready()
        yield api


def store(client: Any, shard: int, positions: dict[str, int], number: int = 0) -> None:
    """Writes and publishes positions, as a commit does."""
    prefix = f"og:{{{number}.{shard}}}:"
    client.hset(prefix + "position", mapping=positions)
    told = ",".join(f'"{name}":"{offset}"' for name, offset in positions.items())
    client.publish(prefix + "stored", f"{{{told}}}")


def test_the_header_is_of_the_slowest_shard_and_the_tag_of_all(api: Api, client: Any) -> None:
    for shard, offset in enumerate((7, 5, 6)):
        store(client, shard, {"orders/0": offset, "orders/1": 10 - offset})
    store(client, 2, {"orders/2": 1})
    tags = set()
    for shard, offset in ((0, 7), (0, 8), (2, 9)):
        store(client, shard, {"orders/0": offset})
        for path in PATHS:
            answer = api.get(path)
            assert answer.headers["X-Projection-Position"] == "orders/0@5,orders/1@3", path
            assert get(api, path, If_None_Match=answer.headers["ETag"]).status_code == 304
            tags.add(answer.headers["ETag"])
    assert len(tags) == 3 * len(PATHS), "a shard that is ahead makes another answer"


@pytest.mark.usefixtures("quiet")
def test_not_modified_reads_positions_only(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client, running(redis_url) as api:
        serve(client, GROUPS, shards=SHARDS)
        api.wait_until_ready()
        tags = [api.get(path).headers["ETag"] for path in PATHS]
        for path, tag in zip(PATHS, tags, strict=True):
            before = calls(client)
            assert get(api, path, If_None_Match=tag).status_code == 304
            assert since(client, before) == {"hgetall": SHARDS, "get": 1}


@pytest.mark.usefixtures("quiet")
def test_a_waiting_request_waits_for_the_slowest_shard(api: Api, client: Any, any_redis: Place) -> None:
    """It reads once, after the slowest shard's message, not after each message."""

    async def scene() -> None:
        for number, path in enumerate(PATHS):
            one, two = f"one/{number}", f"two/{number}"
            wanted = {**BEARER, "X-Min-Position": f"{one}@4,{two}@2"}
            async with in_background(api.client.get(path, headers=wanted)) as waiting:
                await subscribed(any_redis)
                before = scripts(client)
                for shard in (2, 0):
                    store(client, shard, {one: 4})
                    store(client, shard, {two: 2})
                store(client, 1, {one: 4})
                store(client, 1, {two: 1})
                # Not to wait for something, but to see that nothing is asked meanwhile.
                await asyncio.sleep(0.3)
                assert not waiting.done()
                assert scripts(client) == before
                store(client, 1, {two: 2})
                told = (await waiting).headers["X-Projection-Position"]
                assert {f"{one}@4", f"{two}@2"} <= set(told.split(","))

    api.run(scene())


async def subscribed(place: Place) -> None:
    channels = [f"og:{{0.{shard}}}:stored" for shard in range(SHARDS)]

    def all_subscribed() -> bool:
        with place.client() as client:
            nodes: Any = getattr(client, "get_primaries", lambda: [None])()
            told = [client.pubsub_numsub(*channels, **({"target_nodes": node} if node else {})) for node in nodes]
        return [sum(node[n][1] for node in told) for n in range(SHARDS)] == [1] * SHARDS

    await asyncio.to_thread(wait_until, all_subscribed, 10, "a subscription")


def scripts(client: Any) -> int:
    """Returns how many scripts have run, on all nodes."""
    if isinstance(client, RedisCluster):
        found: Any = client.info("commandstats", target_nodes=RedisCluster.PRIMARIES)
        stats = list(found.values())
    else:
        stats = [client.info("commandstats")]
    return sum(node.get("cmdstat_evalsha", {"calls": 0})["calls"] for node in stats)


def test_a_waiting_request_follows_to_a_generation_of_other_shards(api: Api, client: Any, any_redis: Place) -> None:
    async def scene() -> None:
        async with in_background(api.client.get(LIST, headers={**BEARER, "X-Min-Position": "orders/0@7"})) as waiting:
            await subscribed(any_redis)
            write(client, GROUPS[:20], 1, shards=16)
            go_live(client, 1, shards=16)
            for shard in range(16):
                store(client, shard, {"orders/0": 7}, number=1)
            assert (await waiting).json()["count"] == 20

    api.run(scene())


# --- two releases at once ---


def listed(client: Any, number: int, version: int, state: str, shards: int = SHARDS) -> None:
    told = f'{{"generation":{described(number, shards, version)},"state":"{state}","made_at":"2026-06-01T00:00:00Z"}}'
    client.hset("{og:live}:generations", str(number), told)


def test_another_version_goes_live(api: Api, client: Any) -> None:
    """The API serves the newest generation of its version, is not ready, and becomes ready with its version."""
    assert api.get("/health/ready", {}).status_code == 200
    listed(client, 0, VERSION, "ready")
    listed(client, 1, OTHER, "ready")
    go_live(client, 1, 1, version=OTHER)
    for path in PATHS:
        wait_until(lambda path=path: api.get(path).status_code == 200, 10, path)  # type: ignore[misc]
    assert api.list("limit=0")["count"] == len(GROUPS)
    assert api.get("/health/ready", {}).status_code == 503
    # The newest that is complete.
    for number, state, count in ((2, "building", 60), (3, "verified", 60), (4, "ready", 10), (5, "dropping", 10)):
        write(client, GROUPS[:10], number, shards=16)
        listed(client, number, VERSION, state, shards=16)
        assert api.list("limit=0")["count"] == count
    listed(client, 4, VERSION, "dropping")
    assert api.list("limit=0")["count"] == len(GROUPS)
    go_live(client, 4, 16)
    assert api.list("limit=0")["count"] == 10
    assert api.get("/health/ready", {}).status_code == 200


def test_no_generation_of_our_version(api: Api, client: Any) -> None:
    go_live(client, 0, SHARDS, version=OTHER)
    listed(client, 1, VERSION, "building")
    for path in PATHS:
        answer = api.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert api.get("/health/ready", {}).status_code == 503
    listed(client, 1, VERSION, "ready")
    assert api.list("limit=0")["count"] == 0


def test_an_invalid_list_of_generations(api: Api, client: Any) -> None:
    go_live(client, 0, SHARDS, version=OTHER)
    client.hset("{og:live}:generations", "1", "{")
    assert api.get(LIST).status_code == 500
