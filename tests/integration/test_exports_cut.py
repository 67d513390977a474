"""Exports whose client is slow or gone, whose Redis dies, whose generation is deleted: on real servers."""

import json
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.integration.exported import read_ndjson
from tests.integration.lines import make_live
from tests.integration.seed import JUNE_MS, as_bitmap, go_live, make_groups, member, write
from tests.integration.test_bounds import high_water_kb, metric
from tests.processes import Api
from tests.readmodel import prefixes
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer
from tests.thorough import thorough

PATH = "/admin/order-groups/export?format=ndjson&fields=*orders"
# Of one group, so that an export is far larger than what kernels buffer.
ORDERS, GROUPS = 100, 1500
PREFIX = prefixes(0, 1)[0]
# Of an export, whatever its size, in kB: parts, what is sent of them, and what Python does not give back.
MEMORY_KB = 20_000
GONE_S = 5.0
IN_PROGRESS = "order_groups_api_exports_in_progress"


def fill(client: "Redis") -> None:
    """GROUPS times the same group with many orders, under as many ordinals."""
    (group,) = make_groups(random.Random(3), 12)[-1:]
    order = group["orders"][0]
    group["orders"] = [{**order, "id": f"order_{n:03}", "created_at": JUNE_MS} for n in range(ORDERS)]
    write(client, [group])
    row, record = (client.hget(PREFIX + name, member(0)) for name in ("row", "record"))
    assert row
    assert record
    client.hset(PREFIX + "row", mapping={member(n): row for n in range(GROUPS)})
    client.hset(PREFIX + "record", mapping={member(n): record for n in range(GROUPS)})
    client.set(PREFIX + "bits:all", as_bitmap(range(GROUPS)))
    go_live(client)


@pytest.fixture
def server(redis_home: RedisHome) -> Iterator[RedisServer]:
    with RedisServer(redis_home) as server:
        with server.client() as client:
            fill(client)
        yield server


@pytest.fixture
def api(server: RedisServer, tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, server.url) as api:
        yield api


class Reader:
    """Of one export, some bytes at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._bytes = response.iter_raw()
        self.content = b""

    def read(self, number: int) -> None:
        while len(self.content) < number:
            self.content += next(self._bytes)

    def rest(self) -> bytes:
        return self.content + b"".join(self._bytes)


@contextmanager
def reading(api: Api, path: str = PATH) -> Iterator[Reader]:
    with api.client.stream("GET", path) as response:
        assert response.status_code == 200, response.read()
        reader = Reader(response)
        reader.read(1000)
        yield reader


def calls(client: "Redis") -> int:
    stats: Any = client.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


def wait_until_it_stops_reading(client: "Redis") -> None:
    """As soon as the kernel's buffers are full."""
    seen = [-1]

    def is_same() -> bool:
        seen.append(calls(client))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_until(is_same, 20, "an export that waits for its client")


def log_line(api: Api) -> str:
    """Of the export that ended last."""
    (*_, line) = [line for line in api.text().splitlines() if "route=/admin/order-groups/export" in line]
    return line


@pytest.fixture
def hasty(server: RedisServer, tmp_path: Path) -> Iterator[Api]:
    """An API that gives a request a second until its answer begins."""
    with Api(tmp_path, server.url, API_REQUEST_TIMEOUT_MS="1000", PROJECTION_WAIT_MS="0") as api:
        yield api


def test_a_slow_reader_gets_all_of_it_in_bounded_memory(server: RedisServer, hasty: Api) -> None:
    api = hasty
    with api.client.stream("GET", PATH + "&id=none"):
        pass
    before_kb = high_water_kb(api)
    with server.client() as client, reading(api) as reader:
        began_s = time.monotonic()
        wait_until_it_stops_reading(client)
        wait_until(lambda: time.monotonic() > began_s + 1.5, 2, "the time of a request")
        in_front = calls(client)
        assert metric(api, IN_PROGRESS) == 1
        assert metric(api, "order_groups_api_requests_in_flight") == 0
        content = reader.rest()
        assert calls(client) > 2 * in_front, "most was read once the client read on"
    objects, vanished = read_ndjson(content)
    assert (len(objects), vanished) == (GROUPS, 0)
    assert len(content) > 2 * 1024 * MEMORY_KB, "the export is larger than what it may take"
    assert high_water_kb(api) - before_kb < MEMORY_KB
    wait_until(lambda: metric(api, IN_PROGRESS) == 0, GONE_S, "the end of the export")
    assert metric(api, 'order_groups_api_exports_total{end="complete"}') == 2
    assert metric(api, "order_groups_api_export_rows_total") == GROUPS
    assert f"rows={GROUPS} refused=None" in log_line(api)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("times", [100, *thorough(1000)])
def test_of_clients_that_go_nothing_is_left(server: RedisServer, api: Api, times: int) -> None:
    rng = random.Random(1)
    with server.client() as client:
        connections = len(client.client_list())
        for _ in range(times):
            # Without the certificates of TLS, which take a client longer than an export.
            with httpx.Client(headers=api.client.headers, verify=False) as one:
                url = f"http://127.0.0.1:{api.port}{PATH}"
                with one.stream("GET", url) as response:
                    assert response.status_code == 200
                    if rng.random() < 0.8:
                        next(response.iter_raw(rng.choice((1, 100_000))))
            wait_until(lambda: metric(api, IN_PROGRESS) == 0, GONE_S, "the end of the export")
        ends = [metric(api, f'order_groups_api_exports_total{{end="{end}"}}') for end in ("gone", "complete", "cut")]
        assert ends == [times, 0, 0]
        assert metric(api, "order_groups_api_requests_in_flight") == 0
        # Ours, which are kept alive.
        assert metric(api, "order_groups_api_connections") <= 2
        assert len(client.client_list()) <= connections + 4
        before = calls(client)
        assert metric(api, IN_PROGRESS) == 0
        assert calls(client) - before < 10, "something still reads"
    assert "Traceback" not in api.text()


def assert_incomplete(reader: Reader) -> None:
    """As a client sees it: its library raises, since HTTP's last chunk is missing."""
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        reader.rest()


def test_redis_killed_midway_is_seen_by_the_client(server: RedisServer, api: Api) -> None:
    with reading(api) as reader:
        server.kill()
        assert_incomplete(reader)
        assert b'{"export":' not in reader.content
    wait_until(lambda: metric(api, IN_PROGRESS) == 0, GONE_S, "the end of the export")
    assert metric(api, 'order_groups_api_exports_total{end="cut"}') == 1
    assert metric(api, 'order_groups_api_refused_total{reason="export_cut"}') == 1
    assert "refused=export_cut" in log_line(api)
    assert "export cut" in api.text()
    assert "Traceback" not in api.text()


@pytest.mark.parametrize("key", ["meta", "row", "record"])
def test_a_generation_deleted_midway_is_seen_by_the_client(server: RedisServer, api: Api, key: str) -> None:
    """Whichever key goes first."""
    with server.client() as client:
        make_live(client, 0, 1)
        client.hset(PREFIX + "meta", "nonce", "nonce 0")
        with reading(api) as reader:
            make_live(client, 1, 1)
            client.delete(PREFIX + key)
            assert_incomplete(reader)
    assert "the generation was deleted while it was exported" in api.text()


def test_a_generation_that_is_replaced_is_exported_to_the_end(server: RedisServer, api: Api) -> None:
    with server.client() as client, reading(api) as reader:
        make_live(client, 1, 1)
        assert len(read_ndjson(reader.rest())[0]) == GROUPS
        assert json.loads(api.get({}))["count"] == 0


def test_groups_that_vanish_midway_are_left_out_and_counted(server: RedisServer, api: Api) -> None:
    with server.client() as client, reading(api) as reader:
        client.hdel(PREFIX + "row", *(member(n) for n in range(GROUPS - 10, GROUPS)))
        assert reader.headers["X-Export-Count"] == str(GROUPS)
        objects, vanished = read_ndjson(reader.rest())
    assert (len(objects), vanished) == (GROUPS - 10, 10)


def test_exports_beyond_the_maximum_get_503(server: RedisServer, tmp_path: Path) -> None:
    with Api(tmp_path, server.url, API_EXPORTS_MAX="1") as api:
        with reading(api), httpx.Client(base_url=api.client.base_url, headers=api.client.headers) as other:
            refused = other.get(PATH)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert refused.json()["type"] == "unavailable"
            assert other.get("/admin/order-groups").status_code == 200
        wait_until(lambda: metric(api, IN_PROGRESS) == 0, GONE_S, "the end of the export")
        assert metric(api, 'order_groups_api_refused_total{reason="exports"}') == 1
        with reading(api):
            assert metric(api, IN_PROGRESS) == 1


def test_an_export_is_cut_when_the_server_stops(api: Api) -> None:
    with reading(api) as reader:
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(8) == 0
        assert_incomplete(reader)


@pytest.mark.thorough
@pytest.mark.timeout(90)
def test_a_client_that_reads_nothing_is_closed(server: RedisServer, api: Api) -> None:
    with reading(api) as reader:
        wait_until(lambda: metric(api, IN_PROGRESS) == 0, 40, "the end of the export")
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            reader.rest()
    assert metric(api, 'order_groups_api_exports_total{end="gone"}') == 1
    assert re.search(r"duration_ms=3\d{4}\.", log_line(api)), "it was to be let alone for 30 s"
