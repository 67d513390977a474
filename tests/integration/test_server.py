"""The server in its own process, with real sockets and signals."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.integration.client import BEARER, SECRET
from tests.integration.seed import serve
from tests.processes import Api, token

_PROGRAM = """
import json, sys
from api.config import ApiConfig
from api.workers import serve
serve(ApiConfig(redis_url=sys.argv[1], port=int(sys.argv[2]), jwt_secret=sys.argv[3], **json.loads(sys.argv[4])))
"""


@contextmanager
def serving(one_redis_url: str, **settings: object) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, one_redis_url, str(port), SECRET, json.dumps(settings)]
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_alive(url)
            yield process, url
        finally:
            process.kill()


def wait_until_alive(url: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            httpx.get(url + "/health/live").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server did not come up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_cleanly(one_redis_url: str, number: signal.Signals) -> None:
    with serving(one_redis_url) as (process, url):
        response = httpx.get(url + "/admin/order-groups?limit=0", headers=BEARER)
        assert response.status_code == 200
        assert "server" not in response.headers
        process.send_signal(number)
        assert process.wait(timeout=5) == 0


def test_an_idle_connection_does_not_delay_the_stop(one_redis_url: str) -> None:
    with (
        serving(one_redis_url) as (process, url),
        socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1]))) as idle,
    ):
        idle.sendall(b"GET /admin/order-groups HTTP/1.1\r\nHost: x\r\n")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=7) == 0


@pytest.mark.parametrize("path", ["/admin/order-groups/a%2Fb", "/admin/order-groups/a%252Fb"])
def test_an_id_is_decoded_once(one_redis_url: str, path: str) -> None:
    with serving(one_redis_url) as (_, url):
        response = httpx.get(url + path, headers=BEARER)
        group_id = path.rsplit("/", 1)[1].replace("%2F", "/").replace("%25", "%")
        assert response.json() == {"type": "not_found", "message": f"OrderGroup id not found: {group_id}"}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_short_secret_works_as_in_medusa_and_is_told(one_redis_url: str, tmp_path: Path) -> None:
    with Redis.from_url(one_redis_url) as client:
        serve(client, [])
    with Api(tmp_path, one_redis_url, JWT_SECRET="supersecret") as api:
        answer = api.client.get("/admin/order-groups", headers={"Authorization": f"Bearer {token('supersecret')}"})
        assert answer.status_code == 200
        assert api.client.get("/admin/order-groups").status_code == 401
    assert "short JWT_SECRET" in api.text()
