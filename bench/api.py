"""Requests per second of the API, and of a bare FastAPI route that returns the same bytes.

    python -m bench.api     BENCH_API_GROUPS (20 000), BENCH_SECONDS (1) and BENCH_ROUNDS (4) change its size,
                            BENCH_API_SHARDS (1) the number of shards; results go to BENCH_RESULTS (bench/results)

Every shape has its own ceiling: the bare route answers with the body that the first connection gets. The load generator
is another process on the same machine: API and bare route share the processors with it in the same way.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.load import Load, load
from bench.runs import Rounds, Run, rounds
from bench.stream import entries
from events.logs.open import open_log, sqlite_url
from tests.integration.seed import go_live
from tests.processes import Api, Process, token, wait_until_applied
from tests.servers.process import free_port, wait_until
from tests.servers.redis import RedisServer

FULL = 20_000
GROUPS = int(os.environ.get("BENCH_API_GROUPS", FULL))
SHARDS = int(os.environ.get("BENCH_API_SHARDS", 1))
SECONDS = float(os.environ.get("BENCH_SECONDS", 1))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 4))
CONNECTIONS = 16
PATH = "/admin/order-groups"
# Name -> query string of each connection. Identical concurrent requests share one call to Redis, see
# projector/readmodel/client/batches.py: that is a shape of its own.
SHAPES = {
    "the list": [f"?offset={n}" for n in range(CONNECTIONS)],
    "its middle": [f"?offset={GROUPS // 2 + n}" for n in range(CONNECTIONS)],
    "one filter": [f"?status=completed&offset={n}" for n in range(CONNECTIONS)],
    "the same by all": [""],
    "a 304": [""],
}


class Side(Struct):
    """Responses per second, and milliseconds."""

    rate: Rounds
    p50: Rounds
    p99: Rounds


class Asked(Struct):
    """`query`: of the first connection. `of_bare`: the median of the rounds' own ratios."""

    name: str
    query: str
    bare: Side
    api: Side
    of_bare: Rounds


class Report(Run):
    groups: int
    shards: int
    connections: int
    seconds: float
    rounds: int
    shapes: list[Asked]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home), Path(name)
        _fill(server, folder)
        with Api(folder, server.url, LOG_LEVEL="warning") as api:
            asked = [_measure(folder, api, shape, queries) for shape, queries in SHAPES.items()]
    found = Report(runs.now(), runs.commit(), machine, GROUPS, SHARDS, CONNECTIONS, SECONDS, ROUNDS, shapes=asked)
    _show(found)
    print(runs.save("api", GROUPS, FULL, found))


def _measure(folder: Path, api: Api, shape: str, queries: Sequence[str]) -> Asked:
    headers = {"Authorization": f"Bearer {token()}"}
    targets = [PATH + query for query in queries]
    answer = httpx.get(f"http://127.0.0.1:{api.port}{targets[0]}", headers=headers)
    assert answer.status_code == 200, answer.text
    status = 304 if shape == "a 304" else 200
    asked = headers | ({"If-None-Match": answer.headers["etag"]} if status == 304 else {})
    with _bare(folder, answer.content) as port:
        each = [(_load(port, [PATH], headers, 200), _load(api.port, targets, asked, status)) for _ in range(ROUNDS)]
    bare, ours = (_side(side) for side in zip(*each, strict=True))
    return Asked(shape, queries[0], bare, ours, rounds([ours.rate / bare.rate for bare, ours in each], 3))


def _side(loads: Sequence[Load]) -> Side:
    p50, p99 = (rounds([found.quantile_ms(share) for found in loads], 2) for share in (0.5, 0.99))
    return Side(rounds([found.rate for found in loads]), p50, p99)


def _show(found: Report) -> None:
    table = Table("", "bare/s", "p50 ms", "p99 ms", "API/s", "p50 ms", "p99 ms", "of bare")
    for one in found.shapes:
        sides = ((f"{side.rate.median:,.0f}", side.p50.median, side.p99.median) for side in (one.bare, one.api))
        cells = [cell for rate, p50, p99 in sides for cell in (rate, f"{p50:.1f}", f"{p99:.1f}")]
        table.add_row(one.name, *cells, f"{one.of_bare.median:.2f}")
    console = Console()
    console.print(
        f"{found.groups:,} groups, shards: {found.shards}, {found.machine.redis}, {found.connections} connections, "
        f"{found.machine.processors} processors, medians of {found.rounds} rounds of {found.seconds:g} s"
    )
    console.print(table)


def _fill(server: RedisServer, folder: Path) -> None:
    url = sqlite_url(folder / "orders.db")
    made, groups = [], set()
    for entry in entries():
        groups.add(entry.key)
        if len(groups) > GROUPS:
            break
        made.append(entry)
    with open_log(url, {}) as log:
        log.create()
        log.append(made)
    with server.client() as client:
        go_live(client, shards=SHARDS)
    with server.client() as client, Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url) as run:
        wait_until_applied(client, {"orders/0": len(made)}, 600)
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


def _load(port: int, targets: Sequence[str], headers: dict[str, str], status: int) -> Load:
    found = load(port, targets, headers, CONNECTIONS, SECONDS)
    assert set(found.statuses) == {status}, found.statuses
    return found


if __name__ == "__main__":
    main()
