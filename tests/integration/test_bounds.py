"""Slow, oversized and malformed requests, and their effect on other clients."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.integration.raw import AUTHORIZATION, LIST, Connection, request
from tests.integration.seed import go_live, make_groups, write
from tests.processes import Api
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

GROUPS = 50
# What the API promises, in seconds.
CLOSED_S = 10.0
TOLD_S = 1.0
BACK_S = 2.0


def fill(one_redis_url: str) -> None:
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(1), GROUPS))
        go_live(client)


@pytest.fixture
def api(one_redis_url: str, tmp_path: Path) -> Iterator[Api]:
    fill(one_redis_url)
    with Api(tmp_path, one_redis_url) as api:
        yield api
        assert "Traceback" not in api.text()


@pytest.fixture(scope="module")
def shared_api(module_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For short tests. A test that takes `api` leaves the same groups in Redis."""
    fill(module_redis_url)
    with Api(tmp_path_factory.mktemp("api"), module_redis_url) as api:
        yield api
        assert "Traceback" not in api.text()


@pytest.fixture
def redis(redis_home: RedisHome) -> Iterator[RedisServer]:
    with RedisServer(redis_home) as server:
        fill(server.url)
        yield server


# --- time to receive ---


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


@pytest.mark.thorough
@pytest.mark.alone
def test_slow_clients_neither_disturb_others_nor_stay(api: Api) -> None:
    """500 clients that send a byte a second."""

    closed_by_now = 'order_groups_api_refused_total{reason="receive_timeout"}'

    def timed() -> float:
        started = time.perf_counter()
        assert json.loads(api.get({"limit": 20}))["count"] == GROUPS
        return time.perf_counter() - started

    alone_until = time.monotonic() + 3
    before: list[float] = []
    # In the same rhythm as below: what comes after a look at the metrics finds cold caches.
    while time.monotonic() < alone_until:
        before.extend(timed() for _ in range(20))
        metric(api, closed_by_now)
    slow = [sys.executable, "-m", "tests.integration.slow", str(api.port), "500"]
    during: list[float] = []
    with subprocess.Popen(slow, stdout=subprocess.PIPE) as process:
        try:
            wait_until(lambda: metric(api, "order_groups_api_connections") > 490, 10, "the slow clients")
            # Until the first of them is closed: so long all of them are there.
            while not metric(api, closed_by_now):
                during.extend(timed() for _ in range(20))
            assert process.stdout
            closed = json.loads(process.stdout.read())
        finally:
            process.kill()
    assert len(before) > 300
    assert len(during) > 300
    assert len(closed) == 500
    late = [seconds for seconds, _ in closed if seconds is None or seconds >= CLOSED_S]
    assert not late
    assert {status for _, status in closed} == {408}
    # A p99 of a millisecond doubles whenever the machine has something else to do for a moment.
    p99_s = quantile(before, 0.99)
    assert quantile(during, 0.99) < max(2 * p99_s, p99_s + 0.015)


def test_incomplete_requests_are_disconnected(api: Api) -> None:
    """In parallel: nothing sent; blank lines before a request; half of the second request; half of a header."""
    half = request()[:-10]
    with (
        Connection(api.port) as silent,
        Connection(api.port) as blank,
        Connection(api.port) as second,
        Connection(api.port) as header,
        Connection(api.port) as idle,
    ):
        started = time.monotonic()
        second.send(request() + half)
        assert second.got().status == 200
        idle.send(request())
        assert idle.got().status == 200
        header.send(half)
        second.send(b"x")

        def drip() -> None:
            while blank.send_until_refused(b"\r\n", 2):
                time.sleep(0.5)

        dripping = threading.Thread(target=drip)
        dripping.start()
        told = header.got()
        assert (told.status, told.headers["connection"]) == (408, "close")
        assert told.json()["type"] == "invalid_data"
        assert second.got().status == 408
        for connection in (silent, blank, second, header, idle):
            connection.seconds_until_closed()
        assert time.monotonic() - started < CLOSED_S
        dripping.join(CLOSED_S)
        assert not dripping.is_alive()


def test_a_slow_client_within_the_limit_is_served(api: Api) -> None:
    with Connection(api.port) as connection:
        for part in (request()[:20], request()[20:50], request()[50:]):
            time.sleep(0.3)
            connection.send(part)
        assert connection.got().status == 200


# --- size ---


@pytest.mark.parametrize("authorization", [AUTHORIZATION, b""], ids=["known", "unknown"])
@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        (LIST + "?q=" + "x" * 66_000, b"", 414),
        (LIST + "?q=" + "x" * (65_536 - len(LIST) - 3), b"", 414),
        ("/health/live?" + "x" * 66_000, b"", 414),
        (LIST, b"X-Long: " + b"x" * 66_000 + b"\r\n", 431),
        (LIST, b"".join(b"X-%d: y\r\n" % n for n in range(99)), 431),
    ],
    ids=["url", "by-a-byte", "open-url", "header", "headers"],
)
def test_a_head_that_is_too_large(
    shared_api: Api, target: str, headers: bytes, status: int, authorization: bytes
) -> None:
    """Without credentials the answer is 401."""
    with Connection(shared_api.port) as connection:
        connection.send(request(target, authorization + headers))
        answer = connection.got()
        if not authorization and not target.startswith("/health"):
            assert answer.status == 401
            return
        assert answer.status == status
        assert answer.json().keys() == {"type", "message"}
        assert answer.headers["connection"] == "close"
        assert connection.answer() is None


@pytest.mark.parametrize(
    ("beginning", "status"),
    [(b"GET /" + b"x" * 10, 414), (request()[:-2] + b"X-Endless: ", 431), (request()[:-2] + b"X-End", 431)],
    ids=["url", "value", "name"],
)
def test_a_head_without_an_end(api: Api, beginning: bytes, status: int) -> None:
    most = 100_000_000_000
    with Connection(api.port) as connection:
        connection.send(beginning)
        memory = high_water_kb(api)
        sent = connection.send_until_refused(b"x" * 10_000, most)
        assert sent < most
        assert high_water_kb(api) - memory < 5_000
    with Connection(api.port) as connection:
        connection.send(beginning + b"x" * 300_000)
        assert connection.got().status == status


def test_a_head_of_the_maximum_size(api: Api) -> None:
    api.wait_until_ready()
    with Connection(api.port) as connection:
        target = LIST + "?q=" + "x" * (65_535 - len(LIST) - 3)
        connection.send(request(target, AUTHORIZATION + b"X-Long: " + b"x" * 60_000 + b"\r\n"))
        assert connection.got().status == 200


def high_water_kb(api: Api) -> int:
    status = Path(f"/proc/{api.process.pid}/status")
    if not status.exists():
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1])


# --- a body where none is wanted ---


@pytest.mark.parametrize("headers", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize(
    ("method", "authorization", "status"),
    [("GET", AUTHORIZATION, 413), ("HEAD", AUTHORIZATION, 413), ("POST", AUTHORIZATION, 405), ("GET", b"", 401)],
)
@pytest.mark.parametrize("body", [b"", b"5\r\nhello\r\n0\r\n\r\n"])
def test_a_body(shared_api: Api, method: str, authorization: bytes, headers: bytes, body: bytes, status: int) -> None:
    with Connection(shared_api.port) as connection:
        connection.send(request(method=method, headers=authorization + headers) + body)
        answer = connection.got(head_only=method == "HEAD")
        assert answer.status == status
        if not body or status == 413:
            assert answer.headers["connection"] == "close"
            assert connection.answer() is None


def test_an_empty_body_is_accepted(api: Api) -> None:
    with Connection(api.port) as connection:
        for _ in range(2):
            connection.send(request(headers=AUTHORIZATION + b"Content-Length: 0\r\n"))
            assert connection.got().status == 200


def test_a_large_body_is_never_in_memory_and_the_answer_is_not_lost(api: Api) -> None:
    size = 30_000_000
    with Connection(api.port) as connection:
        memory = high_water_kb(api)
        connection.send(request(method="POST", headers=AUTHORIZATION + b"Content-Length: %d\r\n" % size))
        sent = connection.send_until_refused(b"x" * 100_000, size)
        assert sent > 0
        assert high_water_kb(api) - memory < 5_000
        assert connection.got().status == 405
        assert connection.seconds_until_closed() < 3


# --- what is no HTTP ---

GOOD = request()
MALFORMED = {
    "noise": b"\x00\x01\x02\x03" * 50 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
    "no-version": b"GET /\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "bad-version": b"GET / HTTP/9.9\r\n\r\n",
    "bad-method": b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "blank-in-url": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "nul-in-url": b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "latin-in-url": b"GET /\xe4 HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n",
    "absolute-without-path": b"GET http://x HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n",
    "bad-port": b"GET http://x:y/ HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n",
    "nul-in-header": GOOD[:-2] + b"X: a\x00b\r\n\r\n",
    "no-colon": GOOD[:-2] + b"X\r\n\r\n",
    "blank-name": GOOD[:-2] + b" X: y\r\n\r\n",
    "bare-cr": GOOD[:-2] + b"X: y\rZ: q\r\n\r\n",
    "bad-length": GOOD[:-2] + b"Content-Length: x\r\n\r\n",
    "negative-length": GOOD[:-2] + b"Content-Length: -1\r\n\r\n",
    "two-lengths": GOOD[:-2] + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length-and-chunks": GOOD[:-2] + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad-chunk": GOOD[:-2] + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    "huge-chunk": GOOD[:-2] + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n\r\n",
    "websocket": GOOD[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expect": GOOD[:-2] + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
}
ANSWERED = {
    "no-version": (307,),
    "star": (400, 404, 405),
    "expect": (413,),
    "websocket": (200,),
    "huge-chunk": (400, 413),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_input_that_is_not_http(shared_api: Api, case: str) -> None:
    with Connection(shared_api.port) as connection:
        connection.send(MALFORMED[case])
        answer = connection.got()
        assert answer.status in ANSWERED.get(case, (400, 413))
        if answer.status == 400:
            assert answer.json().keys() == {"type", "message"}
            assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
            assert answer.headers["connection"] == "close"
            assert connection.answer() is None
    assert "Traceback" not in shared_api.text()
    assert "ASGI" not in shared_api.text()


# --- many requests on one connection ---


def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    with Connection(api.port) as connection:
        connection.send(b"".join(request(f"{LIST}?limit={n}") for n in range(20)))
        assert [connection.got().json()["limit"] for _ in range(20)] == list(range(20))
        connection.send(request())
        assert connection.got().status == 200


def test_too_many_pipelined_requests(api: Api) -> None:
    """Accepted ones are answered, then the connection closes: a client knows which to send again."""
    with Connection(api.port) as connection:
        connection.send(b"".join(request(f"{LIST}?limit={n}") for n in range(500)))
        limits = []
        while (answer := connection.answer()) is not None:
            limits.append(answer.json()["limit"])
        assert 20 < len(limits) < 500
        assert limits == list(range(len(limits)))


def test_a_refusal_is_not_sent_before_an_earlier_answer(api: Api) -> None:
    with Connection(api.port) as connection:
        connection.send(request(f"{LIST}?limit=7") + b"\x00\x00\r\n\r\n")
        assert connection.got().json()["limit"] == 7
        assert connection.answer() is None


# --- Redis, and the requests that it keeps ---


def ask(api: Api, target: str = LIST, most_s: float = 30) -> httpx.Response:
    """Uses the shared client: creating another one takes longer than some answers that are timed here."""
    started = time.monotonic()
    response = api.client.get(target)
    assert time.monotonic() - started < most_s
    return response


def assert_available(api: Api) -> None:
    wait_until(lambda: ask(api).status_code == 200, BACK_S, "the list")
    assert ask(api).json()["count"] == GROUPS


def assert_unavailable(api: Api) -> None:
    for _ in range(3):
        response = ask(api, most_s=TOLD_S)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json()["type"] == "unavailable"
    assert ask(api, "/health/live").status_code == 200
    assert ask(api, "/health/ready", most_s=TOLD_S).status_code == 503


@pytest.mark.parametrize(("fault", "refusal"), [("killed", "AWAY"), ("stopped", "TIMEOUT")])
def test_redis_unavailable_and_available_again(redis: RedisServer, tmp_path: Path, fault: str, refusal: str) -> None:
    with Api(tmp_path, redis.url) as api:
        for _ in range(2):
            assert_available(api)
            if fault == "killed":
                redis.kill()
                assert_unavailable(api)
                redis.restart()
            else:
                stop(redis)
                assert_unavailable(api)
                resume(redis)
            assert_available(api)
        assert metric(api, f'order_groups_api_redis_unavailable_total{{refusal="{refusal}"}}') == 6
        assert "Traceback" not in api.text()


def stop(redis: RedisServer) -> None:
    assert redis.process, "Docker's cannot be signalled from here"
    redis.process.send_signal(signal.SIGSTOP)


def resume(redis: RedisServer) -> None:
    assert redis.process
    redis.process.send_signal(signal.SIGCONT)


def metric(api: Api, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", ask(api, "/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_requests_beyond_the_maximum_get_503_immediately(redis: RedisServer, tmp_path: Path) -> None:
    cap, asked = 10, 30
    with Api(tmp_path, redis.url, API_CONCURRENCY_MAX=str(cap)) as api, ExitStack() as open_ones:
        # Who has not sent a request yet, has no credentials, or asks for health, takes no place.
        for _ in range(50):
            open_ones.enter_context(Connection(api.port)).send(b"GET / HTTP/1.1\r\n")
        crowd = [open_ones.enter_context(Connection(api.port)) for _ in range(asked)]
        unknown = open_ones.enter_context(Connection(api.port))
        assert_available(api)
        stop(redis)
        try:
            started = time.monotonic()
            for connection in crowd[:cap]:
                connection.send(request())
            wait_until(lambda: metric(api, "order_groups_api_requests_in_flight") == cap, TOLD_S, "a full house")
            for connection in crowd[cap:]:
                connection.send(request())
            busy = [connection.got() for connection in crowd[cap:]]
            assert ask(api, "/health/live").status_code == 200
            unknown.send(request(headers=b""))
            assert unknown.got().status == 401
            assert metric(api, "order_groups_api_requests_in_flight") == cap
            assert time.monotonic() - started < 0.8, "too slow: the requests that wait for Redis time out meanwhile"
            away = [connection.got() for connection in crowd[:cap]]
        finally:
            resume(redis)
        for answer in (*busy, *away):
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "unavailable"
            assert ("Too many requests" in answer.json()["message"]) == (answer in busy)
        assert metric(api, 'order_groups_api_refused_total{reason="concurrency"}') == asked - cap
        wait_until(lambda: metric(api, "order_groups_api_requests_in_flight") == 0, TOLD_S, "an empty house")
        assert_available(api)


def test_running_requests_finish_when_the_server_stops(redis: RedisServer, tmp_path: Path) -> None:
    with Api(tmp_path, redis.url) as api, ThreadPoolExecutor(1) as one:
        assert_available(api)
        stop(redis)
        asking = one.submit(ask, api)
        wait_until(lambda: metric(api, "order_groups_api_requests_in_flight") == 1, TOLD_S, "the request")
        api.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert api.process.poll() is None
        resume(redis)
        answer = asking.result()
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert api.process.wait(7) == 0
