"""Requests a second of the API, beside a bare FastAPI route that returns the same bytes.

    python -m bench.api       BENCH_API_GROUPS (20 000), BENCH_SECONDS (5) and BENCH_ROUNDS (3) change its size,
                              BENCH_API_SHARDS (1) the number of shards

Every shape has its own floor: the bare route answers with the very body that the API gave. The load generator is
another process on the same machine, so that the two share its processors alike.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import Load, load
from events.open import open_log, sqlite_url
from events.publisher import entry_of
from events.sample import Marketplace
from tests.integration.seed import go_live
from tests.processes import Api, Process, token, wait_until_applied
from tests.servers.process import free_port, wait_until
from tests.servers.redis import RedisServer, startable_homes

GROUPS = int(os.environ.get("BENCH_API_GROUPS", 20_000))
SHARDS = int(os.environ.get("BENCH_API_SHARDS", 1))
SECONDS = float(os.environ.get("BENCH_SECONDS", 5))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
CONNECTIONS = 16
PATH = "/admin/order-groups"
SHAPES = {
    "the list": "",
    "its middle": f"?offset={GROUPS // 2}",
    "one filter": "?status=completed",
    "a 304": "",
}


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as name, RedisServer(startable_homes()[0]) as server:
        folder = Path(name)
        _fill(server, folder)
        headers = {"Authorization": f"Bearer {token()}"}
        console.print(
            f"{GROUPS:,} groups, shards: {SHARDS}, {server.home}, {CONNECTIONS} connections, "
            f"{os.cpu_count()} processors, medians of {ROUNDS} rounds of {SECONDS:g} s"
        )
        table = Table("", "bare/s", "p50 ms", "p99 ms", "API/s", "p50 ms", "p99 ms", "of bare")
        with Api(folder, server.url, LOG_LEVEL="warning") as api:
            for shape, query in SHAPES.items():
                answer = httpx.get(f"http://127.0.0.1:{api.port}{PATH}{query}", headers=headers)
                assert answer.status_code == 200, answer.text
                asked = headers | ({"If-None-Match": answer.headers["etag"]} if shape == "a 304" else {})
                with _bare(folder, answer.content) as port:
                    rounds = [
                        (_load(port, PATH, headers, 200), _load(api.port, PATH + query, asked, _expected(shape)))
                        for _ in range(ROUNDS)
                    ]
                table.add_row(shape, *_row(rounds))
        console.print(table)


def _fill(server: RedisServer, folder: Path) -> None:
    url = sqlite_url(folder / "orders.db")
    shop = Marketplace(1, datetime(2026, 6, 1, tzinfo=UTC))
    entries, groups = [], set()
    for event in shop.history():
        groups.add(event["data"]["order_group_id"])
        if len(groups) > GROUPS:
            break
        entries.append(entry_of(msgspec.json.encode(event)))
    with open_log(url, {}) as log:
        log.create()
        log.append(entries)
    with server.client() as client:
        go_live(client, shards=SHARDS)
    with server.client() as client, Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url) as run:
        wait_until_applied(client, {"orders/0": len(entries)}, 600)
        run.stop()


@contextmanager
def _bare(folder: Path, body: bytes) -> Iterator[int]:
    file, port = folder / "body.json", free_port()
    file.write_bytes(body)
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port), str(file)])
    try:
        wait_until(lambda: _answers(port), 20, "the bare route")
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{PATH}").status_code == 200
    except httpx.TransportError:
        return False


def _expected(shape: str) -> int:
    return 304 if shape == "a 304" else 200


def _load(port: int, target: str, headers: dict[str, str], status: int) -> Load:
    found = load(port, target, headers, CONNECTIONS, SECONDS)
    assert set(found.statuses) == {status}, found.statuses
    return found


def _row(rounds: list[tuple[Load, Load]]) -> list[str]:
    cells = []
    for side in zip(*rounds, strict=True):
        cells.append(f"{statistics.median(found.rate for found in side):,.0f}")
        cells += [f"{statistics.median(found.quantile_ms(q) for found in side):.1f}" for q in (0.5, 0.99)]
    ratio = statistics.median(ours.rate / bare.rate for bare, ours in rounds)
    return [*cells, f"{ratio:.2f}"]


if __name__ == "__main__":
    main()
