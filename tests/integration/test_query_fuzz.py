"""Query strings that nobody would write, through the whole API: in this process, and as bytes over a socket."""

import asyncio
import json
import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from api.app import create_app
from api.config import ApiConfig
from tests.integration.client import BEARER, SECRET
from tests.integration.queries import query_string, random_request
from tests.integration.raw import Answer, Connection, request
from tests.integration.seed import go_live, make_groups, write
from tests.mutations import inputs
from tests.processes import Api
from tests.thorough import thorough

# The larger numbers, with those of tests/property/test_query_fuzz.py, make a hundred thousand.
IN_PROCESS = [1_500, *thorough(15_000)]
OVER_HTTP = [500, *thorough(5_000)]
LONG_EVERY = 80
# Of this thread, which does all the work of the API, so that other load does not count.
CPU_MAX_S = 0.05
PATHS = ("/admin/order-groups", "/admin/order-groups", "/admin/order-groups/og_SS")
GROUPS = make_groups(random.Random(21), 200)
_rng = random.Random(22)
CORPUS = [query_string(_rng, random_request(_rng, GROUPS))[:2000] for _ in range(200)]


@pytest.fixture
def filled(one_redis_url: str) -> str:
    with Redis.from_url(one_redis_url) as client:
        write(client, GROUPS)
        go_live(client)
    return one_redis_url


def check(status: int, body: bytes) -> None:
    """One of the shapes that the contract has, and never a fault of ours."""
    found = json.loads(body)
    if status == 200:
        assert found.keys() in ({"order_groups", "count", "offset", "limit"}, {"order_group"})
        return
    assert status in (400, 414), (status, body)
    assert found.keys() == {"type", "message"}
    assert found["type"] == "invalid_data"
    assert status == 414 or found["message"].startswith("Invalid request: ")


async def ask(app: Any, path: str, query: bytes) -> tuple[int, bytes]:
    """Without a client: what it would refuse to send is asked for too."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    authorization = (b"authorization", BEARER["Authorization"].encode())
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query}
    await app({**scope, "headers": [authorization], "root_path": "", "http_version": "1.1"}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("number_of_inputs", IN_PROCESS)
def test_in_process(filled: str, number_of_inputs: int) -> None:
    async def ask_all() -> Counter[int]:
        app = create_app(ApiConfig(redis_url=filled, jwt_secret=SECRET))
        statuses: Counter[int] = Counter()
        async with app.router.lifespan_context(app):
            # Until then, `q` is answered with 503.
            async with asyncio.timeout(10):
                while (await ask(app, "/health/ready", b""))[0] != 200:
                    await asyncio.sleep(0.01)
            for number, text in enumerate(islice(inputs(3, CORPUS, LONG_EVERY), number_of_inputs)):
                path, raw = PATHS[number % len(PATHS)], text.encode("utf-8", "surrogatepass")
                started_s = time.thread_time()
                status, body = await ask(app, path, raw)
                took_s = time.thread_time() - started_s
                check(status, body)
                if took_s > CPU_MAX_S:
                    slow.append((took_s, path, raw))
                if number % 5 == 0:
                    assert (status, body) == await ask(app, path, raw), text[:500]
                statuses[status] += 1
            # A collection of garbage hits whom it hits; an input that is slow is slow again.
            for _, path, raw in slow:
                started_s = time.thread_time()
                await ask(app, path, raw)
                assert time.thread_time() - started_s <= CPU_MAX_S, raw[:500]
        return statuses

    slow: list[tuple[float, str, bytes]] = []
    statuses = asyncio.run(ask_all())
    assert statuses.total() == number_of_inputs
    assert min(statuses[200], statuses[400]) > number_of_inputs / 20


def as_sent(text: str) -> str:
    """What cannot stand in the first line of a request is percent-encoded; all else goes as it is."""
    return "".join(c if "!" <= c <= "~" and c != "#" else "".join(f"%{byte:02x}" for byte in c.encode()) for c in text)


def test_bytes_that_cannot_stand_in_a_url(filled: str, tmp_path: Path) -> None:
    with Api(tmp_path, filled) as api:
        for byte in ("\x00", "\x01", "\t", " ", "\n", "\x7f", "ä"):
            with Connection(api.port) as connection:
                connection.send(request(f"{PATHS[0]}?q=x{byte}y"))
                answer = connection.got()
                assert answer.status == 400
                assert answer.json() == {"type": "invalid_data", "message": "Expected an HTTP/1.1 request"}


@pytest.mark.parametrize("number_of_inputs", OVER_HTTP)
def test_over_http(filled: str, tmp_path: Path, number_of_inputs: int) -> None:
    statuses: Counter[int] = Counter()
    with Api(tmp_path, filled, ACCESS_LOG="off") as api:
        connection = Connection(api.port)
        try:
            for number, text in enumerate(islice(inputs(4, CORPUS, LONG_EVERY), number_of_inputs)):
                target = f"{PATHS[number % len(PATHS)]}?{as_sent(text)}"
                answer, connection = exchange(api, connection, target)
                check(answer.status, answer.body)
                if number % 5 == 0:
                    again, connection = exchange(api, connection, target)
                    assert (again.status, again.body) == (answer.status, answer.body)
                statuses[answer.status] += 1
        finally:
            connection.socket.close()
        assert api.stop() == 0
    assert statuses.total() == number_of_inputs
    assert min(statuses[200], statuses[400]) > number_of_inputs / 20


def exchange(api: Api, connection: Connection, target: str) -> tuple[Answer, Connection]:
    """A connection that the server closes, as it does with too long a URL, is replaced."""
    connection.send(request(target))
    answer = connection.got()
    if answer.headers.get("connection") == "close":
        connection.socket.close()
        connection = Connection(api.port)
    return answer, connection
