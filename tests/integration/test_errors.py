"""Error answers: their form, and when they are sent."""

import asyncio
import hashlib
import random
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from tests.integration.client import BEARER, Api, running
from tests.integration.seed import go_live, make_groups, write

KEY = "sk_secret"
UNAUTHORIZED = b'{"message":"Unauthorized"}'
UNKNOWN = {"code": "unknown_error", "type": "unknown_error", "message": "An unknown error occurred."}
LIST = "/admin/order-groups"


@pytest.fixture
def redis(one_redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(one_redis_url) as client:
        client.script_flush()
        yield client


@pytest.fixture
def api(redis: "Redis", one_redis_url: str) -> Iterator[Api]:
    with running(one_redis_url, api_key_hashes=(hashlib.sha256(KEY.encode()).hexdigest(),)) as api:
        yield api


@pytest.fixture
def filled(redis: "Redis") -> "Redis":
    write(redis, make_groups(random.Random(1), 20))
    go_live(redis)
    return redis


# --- credentials come first ---


@pytest.mark.parametrize(
    "path", [LIST, LIST + "?limit=abc", LIST + "/x", "/console/", "/nothing", "/docs", "/openapi.json", "/health"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE"])
def test_without_credentials_every_path_is_a_401(api: Api, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}):
        response = api.request(method, path, headers)
        assert response.status_code == 401
        assert response.content == (b"" if method == "HEAD" else UNAUTHORIZED)


@pytest.mark.parametrize(
    "path", ["/health/live/", "//health/live", "/health/live/..", "/HEALTH/live", "/health/live;x"]
)
def test_only_the_exact_health_paths_are_open(api: Api, path: str) -> None:
    assert api.get(path, {}).status_code == 401


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"Basic {KEY}", "Basic c2tfc2VjcmV0Og=="])
def test_api_keys(api: Api, header: str) -> None:
    assert api.get(LIST, {"Authorization": header}).status_code == 200


# --- requests that cannot be answered ---


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=abc", "Expected type: 'number' for field 'limit', got: 'abc'"),
        ("limit=", "Expected type: 'number' for field 'limit', got: ''"),
        ("q[]=a,b", "Expected type: 'string' for field 'q', got: 'a,b'"),
        ("foo=1", "Unrecognized fields: 'foo'"),
        ("foo=1&bar=2", "Unrecognized fields: 'foo, bar'"),
        ("limit=1001", "Value for field 'limit' too big, expected at most: '1000'"),
        (
            "limit=a&offset=b&foo=1&q[]=a,b",
            "Expected type: 'number' for field 'limit', got: 'a'; "
            "Expected type: 'number' for field 'offset', got: 'b'; "
            "Expected type: 'string' for field 'q', got: 'a,b'",
        ),
    ],
)
def test_bad_requests(api: Api, query: str, message: str) -> None:
    response = api.get(f"{LIST}?{query}")
    assert response.status_code == 400
    assert response.json() == {"type": "invalid_data", "message": f"Invalid request: {message}"}


def test_a_list_that_is_too_long(api: Api) -> None:
    response = api.get(f"{LIST}?id[]={','.join(['x'] * 1001)}")
    assert response.status_code == 400
    assert response.json()["type"] == "invalid_data"


def test_a_url_that_is_too_long(redis: "Redis", one_redis_url: str) -> None:
    """With a smaller limit, since httpx sends no URL of 64 KiB."""
    with running(one_redis_url, url_bytes_max=1000) as api:
        query = "q=" + "x" * (1000 - len(f"{LIST}q="))
        assert api.get(f"{LIST}?{query}").status_code == 200
        response = api.get(f"{LIST}?{query}x")
        assert response.status_code == 414
        assert response.json() == {"type": "invalid_data", "message": "Expected a URL of at most 1000 bytes"}
        assert api.get(f"{LIST}?{query}x", {}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/nothing",
        "/docs/",
        "/openapi.json/",
        LIST + "//",
        LIST + "/a//",
        LIST + "%2F",
        LIST + "/a/b",
        "/admin%2Forder-groups/x",
    ],
)
def test_unknown_routes(api: Api, path: str) -> None:
    response = api.get(path)
    assert response.status_code == 404
    assert response.json()["type"] == "not_found"
    assert response.json().keys() == {"type", "message"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_methods_that_are_not_allowed(api: Api, method: str) -> None:
    response = api.request(method, LIST)
    assert response.status_code == 405
    assert response.json() == {"type": "not_allowed", "message": f"Method not allowed: {method}"}
    assert "GET" in response.headers["Allow"]


# --- what Redis may do to us ---


def test_no_live_generation_is_an_empty_list(api: Api) -> None:
    assert api.list("") == {"order_groups": [], "count": 0, "offset": 0, "limit": 50}
    assert api.get(LIST + "/x").status_code == 404
    assert api.get("/health/live", {}).status_code == 200
    assert api.get("/health/ready", {}).status_code == 503


def test_the_list_follows_the_live_generation(api: Api, filled: "Redis") -> None:
    api.wait_until_ready()
    assert api.get("/health/ready", {}).json() == {"status": "ready"}
    assert api.list("limit=0")["count"] == 20
    write(filled, make_groups(random.Random(2), 30), number=1)
    assert api.list("limit=0")["count"] == 20
    go_live(filled, number=1)
    # Of which no text was read yet.
    assert api.get(f"{LIST}?limit=0&q=og_").json()["count"] == 30
    assert api.list("limit=0")["count"] == 30
    filled.delete("og:live")
    assert api.list("limit=0")["count"] == 0
    go_live(filled, number=0)
    assert api.list("limit=0")["count"] == 20


def test_ready_means_that_q_can_be_answered(filled: "Redis", one_redis_url: str) -> None:
    """The text must have been read once. While it is read again later, only `q` is a 503."""
    key = "og:{0.0}:text"
    filled.rename(key, "kept")
    filled.set(key, "of another type")
    with running(one_redis_url) as api:
        assert api.list("limit=0")["count"] == 20
        assert_unavailable(api.get(f"{LIST}?q=og_"))
        assert_unavailable(api.get("/health/ready", {}))
        filled.rename("kept", key)
        api.wait_until_ready()
        assert api.get(f"{LIST}?q=og_").status_code == 200
        # What changed since is not known.
        filled.delete("og:{0.0}:changed")
        filled.zadd("og:{0.0}:changed", {"9:0123456789abcdef:": 9})
        filled.set(key, "of another type")
        assert_unavailable(api.get(f"{LIST}?q=og_"))
        assert api.get("/health/ready", {}).status_code == 200


def test_scripts_are_loaded_again_after_a_flush(api: Api, filled: "Redis") -> None:
    # The flush must not come between the loading and the call of a script.
    api.wait_until_ready()
    assert api.list("limit=0")["count"] == 20
    filled.script_flush()
    assert api.list("limit=0")["count"] == 20
    assert api.list("limit=0&q=og_")["count"] > 0
    filled.script_flush()
    assert len(api.list("limit=1000")["order_groups"]) == 20


@pytest.mark.parametrize(
    ("query", "damage"),
    # What is only spliced is not looked into.
    [
        ("", "missing"),
        ("q=og_", "missing"),
        ("limit=1000", "missing"),
        ("fields=*orders", "missing"),
        ("fields=*orders", "malformed"),
    ],
)
def test_an_inconsistent_read_model_is_a_500(api: Api, filled: "Redis", query: str, damage: str) -> None:
    api.wait_until_ready()
    for member in filled.hkeys("og:{0.0}:row"):
        if damage == "missing":
            filled.hdel("og:{0.0}:row", member)
        else:
            filled.hset("og:{0.0}:record", member, "{")
    response = api.get(f"{LIST}?{query}")
    assert response.status_code == 500
    assert response.json() == UNKNOWN


def test_an_index_of_the_wrong_type_is_a_500(api: Api, filled: "Redis") -> None:
    filled.delete("og:{0.0}:bits:all")
    filled.hset("og:{0.0}:bits:all", "of", "another type")
    assert api.get(f"{LIST}?order=total").json() == UNKNOWN


@pytest.mark.parametrize("pointer", ["", "{", '{"number":0}', "[]", '{"number":0,"shards":0,"version":2}'])
def test_an_invalid_pointer_is_a_500(api: Api, filled: "Redis", pointer: str) -> None:
    filled.set("og:live", pointer)
    assert api.get(LIST).json() == UNKNOWN


def assert_unavailable(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json()["type"] == "unavailable"
    assert response.json().keys() == {"type", "message"}


def test_redis_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        with running(url) as api:
            assert_unavailable(api.get(LIST))
            assert_unavailable(api.get(LIST + "/x"))
            assert_unavailable(api.get("/health/ready", {}))
            assert api.get("/health/live", {}).status_code == 200


def test_redis_does_not_answer() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running(f"redis://127.0.0.1:{silent.getsockname()[1]}/0") as api,
    ):
        start = time.monotonic()
        assert_unavailable(api.get(LIST))
        assert time.monotonic() - start < 1


def test_redis_is_busy_for_a_while(api: Api, filled: "Redis") -> None:
    """A later request never gets the reply to a request that timed out."""
    assert api.list("limit=0")["count"] == 20
    filled.client_pause(1200, all=True)
    start = time.monotonic()
    assert_unavailable(api.get(LIST))
    assert time.monotonic() - start < 1
    time.sleep(0.5)
    assert api.list("limit=0")["count"] == 20
    assert api.list("limit=1")["limit"] == 1


@pytest.mark.parametrize("connections", [1, 4])
def test_many_concurrent_requests(filled: "Redis", one_redis_url: str, connections: int) -> None:
    """Each request gets its own answer, in bursts and in sequence."""

    async def burst(size: int) -> None:
        asked = (crowd.client.get(f"{LIST}?limit={n}", headers=BEARER) for n in range(size))
        for n, response in enumerate(await asyncio.gather(*asked)):
            assert response.status_code == 200
            assert response.json()["limit"] == n
            assert len(response.json()["order_groups"]) == min(n, 20)

    async def bursts() -> None:
        for size in (1, 200, *range(1, 40), *[1] * 100):
            await burst(size)

    # A burst takes longer on a busy machine than a request waits by default: for a connection, for its client's share.
    patient = {"redis_wait_ms": 5000, "request_timeout_ms": 20_000, "work_per_client_max": 200, "work_max": 200}
    with running(one_redis_url, redis_connections_max=connections, **patient) as crowd:
        crowd.run(bursts())


def test_a_restart_of_redis_fails_one_request(api: Api, filled: "Redis") -> None:
    """Requests after it open new connections."""
    assert api.list("limit=0")["count"] == 20
    filled.client_kill_filter(_type="normal", skipme=True)
    time.sleep(0.05)
    statuses = [api.get(LIST).status_code for _ in range(5)]
    assert statuses[1:] == [200] * 4
