"""Exports over HTTP beside a plain HMGET of the same rows, and another client's lists meanwhile.

    python -m bench.export    BENCH_GROUPS (1 000 000) order groups, in BENCH_ROUNDS (5); results go to BENCH_RESULTS
                              (bench/results)

The client reads the body and throws it away. The HMGET is redis-py's, on one connection, of as many rows at a time as
an export reads.
"""

import http.client
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import marketplace, runs
from bench.contest import quantile
from bench.runs import Rounds, Run, rounds
from bench.served import Build, build
from events.logs.open import sqlite_url
from projector.readmodel.query.export.reading import GROUPS_MAX
from projector.readmodel.schema.keys import Generation
from tests.processes import Api, live, token
from tests.servers.redis import RedisServer

FULL = 1_000_000
GROUPS = int(os.environ.get("BENCH_GROUPS", FULL))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
PATH = "/admin/order-groups/export"
# Name -> query string.
EXPORTS = {
    "CSV": "",
    "NDJSON": "?format=ndjson",
    "CSV, a row an order": "?rows=orders",
    "CSV of 10 %": "?status=completed",
}
_READ_BYTES = 1024 * 1024
# Between two lists of the other client, in seconds.
_PAUSE_S = 0.005


class Exported(Struct):
    """`rows`: of one export; `rate`: rows per second; `list_p99_ms`: of another client's default lists meanwhile."""

    name: str
    rows: int
    bytes: int
    rate: Rounds
    list_p99_ms: Rounds


class Report(Run):
    """`hmget`: rows per second. `list_p99_ms`: while nothing is exported."""

    groups: int
    build: Build
    hmget: Rounds
    list_p99_ms: Rounds
    exports: list[Exported]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home), Path(name)
        url = sqlite_url(folder / "orders.db")
        made = build(marketplace.fill(url, GROUPS), server, url, folder, 1)
        with Api(folder, server.url, LOG_LEVEL="warning") as api, server.client() as client:
            api.wait_until_ready()
            hmget = rounds([_hmget(client) for _ in range(ROUNDS)])
            alone = rounds([_alone(api.port) for _ in range(ROUNDS)], 2)
            exports = [_measure(api.port, name, query) for name, query in EXPORTS.items()]
    found = Report(
        date=runs.now(),
        commit=runs.commit(),
        machine=machine,
        groups=GROUPS,
        build=made,
        hmget=hmget,
        list_p99_ms=alone,
        exports=exports,
    )
    _show(found)
    print(runs.save("export", GROUPS, FULL, found))


def _hmget(client: "redis.Redis") -> float:
    """Returns rows per second."""
    number, _ = live(client)
    key = Generation(number, 1, 0).keys(0).row
    # Of ordinals there may be holes.
    members = sorted(client.hkeys(key))
    started_s = time.perf_counter()
    rows = 0
    for start in range(0, GROUPS, GROUPS_MAX):
        found = client.hmget(key, members[start : start + GROUPS_MAX])
        rows += sum(row is not None for row in found)
    seconds = time.perf_counter() - started_s
    assert rows == GROUPS, f"expected {GROUPS} rows, found {rows}"
    return rows / seconds


def _measure(port: int, name: str, query: str) -> Exported:
    rates, p99s = [], []
    for _ in range(ROUNDS):
        with _listing(port) as took_s:
            started_s = time.perf_counter()
            rows, size = _export(port, query)
            rates.append(rows / (time.perf_counter() - started_s))
        p99s.append(1000 * quantile(took_s, 0.99))
    return Exported(name, rows, size, rounds(rates), rounds(p99s, 2))


def _export(port: int, query: str) -> tuple[int, int]:
    """Returns rows and bytes. Raises IncompleteRead if it was cut short."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", PATH + query, headers={"Authorization": f"Bearer {token()}"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    lines = size = 0
    while part := response.read(_READ_BYTES):
        lines += part.count(b"\n")
        size += len(part)
    connection.close()
    # Without the names of the columns, or the number and digest.
    return lines - 1, size


def _alone(port: int) -> float:
    """Returns milliseconds."""
    with _listing(port) as took_s:
        time.sleep(2.0)
    return 1000 * quantile(took_s, 0.99)


@contextmanager
def _listing(port: int) -> Iterator[list[float]]:
    """Another client asks for the default list. Yields the seconds that each took, complete after the block."""
    took_s: list[float] = []
    done = threading.Event()
    thread = threading.Thread(target=_list, args=(port, took_s, done))
    thread.start()
    try:
        yield took_s
    finally:
        done.set()
        thread.join()


def _list(port: int, took_s: list[float], done: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token()}"}
    while not took_s or not done.wait(_PAUSE_S):
        started_s = time.perf_counter()
        connection.request("GET", "/admin/order-groups", headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        took_s.append(time.perf_counter() - started_s)
    connection.close()


def _show(found: Report) -> None:
    table = Table("", "rows", "rows/s", "of HMGET", "list p99 ms")
    table.add_row("HMGET of the rows", f"{found.groups:,}", f"{found.hmget.median:,.0f}", "", "")
    table.add_row("nothing", "", "", "", f"{found.list_p99_ms.median:.1f}")
    for one in found.exports:
        share = f"{one.rate.median / found.hmget.median:.2f}"
        table.add_row(one.name, f"{one.rows:,}", f"{one.rate.median:,.0f}", share, f"{one.list_p99_ms.median:.1f}")
    console = Console()
    console.print(f"{found.groups:,} groups, {found.machine.redis}, {found.machine.processors} processors")
    console.print(table)


if __name__ == "__main__":
    main()
