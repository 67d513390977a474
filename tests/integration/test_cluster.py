"""Changes of a Redis Cluster while the API reads: slots move, and nodes leave, also the one of REDIS_URL."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.crc import key_slot

from tests.integration.client import BEARER, Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import go_live, make_groups, write
from tests.integration.test_errors import assert_unavailable
from tests.servers.cluster import ClusterServer, cluster_if_any
from tests.servers.redis import RedisHome

LIST = "/admin/order-groups"
GROUPS = make_groups(random.Random(20261124), 200)
SHARDS = 16
PAGE = shown_as_json(answer(GROUPS, Request(limit=20, offset=30), SHARDS))
PATH = f"{LIST}?limit=20&offset=30"


@pytest.fixture(scope="module")
def _server() -> Iterator[ClusterServer | None]:
    """A cluster for this module, complete before and after each test."""
    with cluster_if_any() as server:
        yield server


@pytest.fixture
def server(cluster_server_home: RedisHome, _server: ClusterServer) -> ClusterServer:
    _server.clear()
    with _server.client() as client:
        write(client, GROUPS, shards=SHARDS)
        go_live(client, shards=SHARDS)
    return _server


def slot(shard: int) -> int:
    return key_slot(f"og:{{0.{shard}}}:meta".encode())


def body(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_float=Decimal)


def test_any_node_can_be_the_first(server: ClusterServer) -> None:
    for node in server.nodes:
        with running(node.url) as api:
            assert body(api.get(PATH)) == PAGE
            api.wait_until_ready()


def test_moved_shards_are_followed(server: ClusterServer) -> None:
    """Each shard, and the slot of the pointer, moves to the next node while pages are read."""
    moved, walked = threading.Event(), threading.Semaphore(0)

    def move() -> None:
        try:
            for number in (*map(slot, range(SHARDS)), key_slot(b"og:live")):
                server.move(number, (server.owner(number) + 1) % 3)
                assert walked.acquire(timeout=10)
        finally:
            moved.set()

    async def walk(api: Api) -> list[int]:
        statuses = []
        while not moved.is_set():
            for page in await asyncio.gather(*(api.client.get(PATH, headers=BEARER) for _ in range(4))):
                statuses.append(page.status_code)
                assert page.status_code == 503 or body(page) == PAGE
            walked.release()
        return statuses

    with running(server.url) as api:
        mover = threading.Thread(target=move)
        mover.start()
        try:
            statuses = api.run(walk(api))
        finally:
            mover.join()
        assert len(statuses) > 50
        assert statuses.count(503) < len(statuses) / 20, "a move takes milliseconds, and a request may take a second"
        assert body(api.get(PATH)) == PAGE
        server.move(slot(0), (server.owner(slot(0)) + 1) % 3)
        assert body(api.get(PATH)) == PAGE


def test_a_migrating_shard_is_waited_for(server: ClusterServer) -> None:
    """Half of its keys are on each node, so no node can answer: 503 within a second."""
    moved = slot(5)
    to = (server.owner(moved) + 1) % 3
    with running(server.url) as api:
        assert body(api.get(PATH)) == PAGE
        server.begin_move(moved, to)
        server.move_keys(moved, to, 5)
        for path in (PATH, f"{LIST}?limit=1000", f"{LIST}?status=pending&limit=1000"):
            start_s = time.monotonic()
            assert_unavailable(api.get(path))
            assert time.monotonic() - start_s < 1
    # The move takes longer on a busy machine than a request waits by default.
    with running(server.url, redis_wait_ms=5000, request_timeout_ms=20_000) as api:
        end = threading.Timer(0.3, server.move, (moved, to))
        end.start()
        assert body(api.get(PATH)) == PAGE
        end.join()


def test_a_node_is_unreachable_for_a_while(server: ClusterServer) -> None:
    """The node of REDIS_URL: the topology names the others."""
    with running(server.url) as api:
        assert body(api.get(PATH)) == PAGE
        server.nodes[0].kill()
        start_s = time.monotonic()
        assert_unavailable(api.get(PATH))
        assert time.monotonic() - start_s < 1
        server.nodes[0].restart()
        server.wait()
        assert body(api.get(PATH)) == PAGE


def test_a_node_moves_its_slots_and_leaves(server: ClusterServer) -> None:
    """Its shards are served by others, although REDIS_URL names it."""
    names = [slot(shard) for shard in range(SHARDS)] + [key_slot(b"og:live"), key_slot(b"{og:live}:generations")]
    with running(server.nodes[2].url) as api:
        assert body(api.get(PATH)) == PAGE
        for moved in {name for name in names if server.owner(name) == 2}:
            server.move(moved, 0)
        server.nodes[2].kill()
        for _ in range(5):
            assert body(api.get(PATH)) == PAGE
    server.nodes[2].restart()
    server.wait()


def allow(client: Any, *rights: str) -> None:
    client.execute_command("ACL SETUSER", "reader", "reset", "on", ">secret", "~*", "&*", *rights)


@contextmanager
def only_with_password(server: ClusterServer, *rights: str) -> Iterator[str]:
    """Returns the URL of a user; every node demands user and password."""
    with server.node_clients() as clients:
        for client in clients:
            allow(client, *rights)
            client.config_set("requirepass", "other")
        try:
            yield server.url.replace("redis://", "redis://reader:secret@")
        finally:
            for client in clients:
                client.config_set("requirepass", "")


def test_every_node_gets_user_and_password(server: ClusterServer) -> None:
    with only_with_password(server, "+@all") as url:
        with running(url) as api:
            assert body(api.get(PATH)) == PAGE
        with running(server.url) as api:
            assert_unavailable(api.get(PATH))


def test_a_user_without_cluster_slots_is_logged(server: ClusterServer, capfd: pytest.CaptureFixture[str]) -> None:
    with only_with_password(server, "+@all", "-cluster") as url, running(url) as api:
        assert_unavailable(api.get(PATH))
    assert "expected a node of a Redis Cluster to answer CLUSTER SLOTS, found a refusal: permit the command" in "".join(
        capfd.readouterr()
    )


def test_a_single_redis_may_refuse_cluster_slots(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client, running(redis_url.replace("redis://", "redis://reader:secret@")) as api:
        write(client, GROUPS)
        go_live(client)
        allow(client, "+@all", "-cluster")
        assert body(api.get(PATH)) == shown_as_json(answer(GROUPS, Request(limit=20, offset=30)))
        client.acl_deluser("reader")
