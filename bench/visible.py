"""Time from an append to the log until the API's list reflects it, at a steady 2 000 events per second.

    python -m bench.visible     BENCH_SECONDS (10) of load for each log; results go to BENCH_RESULTS (bench/results)

Every 10 ms the events that are due are appended together, and a reader requests the list with their position in
`X-Min-Position`. The time runs from the call of the append to the last byte of the response: it includes the log's
acknowledgement and a request. The next append does not wait for that response.
"""

import http.client
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.contest import quantile
from bench.runs import Run
from bench.stream import PARTITIONS, entries, logs
from events.logs.log import Entry, Log, Position
from events.logs.open import open_log
from tests.processes import Api, Process, token
from tests.servers.kafka import kafka_home
from tests.servers.redis import RedisServer

FULL_S = 10.0
SECONDS = float(os.environ.get("BENCH_SECONDS", FULL_S))
EVENTS_PER_S = 2_000
EVENTS = int(EVENTS_PER_S * SECONDS)
_TICK_S = 0.01
_WAIT_MS = 30_000
# More than the aimed latency has ticks, so that appends hardly wait for a free reader.
_READERS = 16


class Spread(Struct):
    """Milliseconds."""

    p50: float
    p99: float
    max: float


class FromLog(Struct):
    """`append`: until the log has acknowledged. `events_per_s`: the rate that was reached."""

    name: str
    events_per_s: int
    appends: int
    append: Spread
    visible: Spread


class Report(Run):
    events: int
    events_per_s: int
    seconds: float
    partitions: int
    logs: list[FromLog]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home, kafka_home({})), Path(name)
        with logs(folder) as urls:
            measured = [_measure(log, server, url, folder) for log, url in urls.items()]
    found = Report(runs.now(), runs.commit(), machine, EVENTS, EVENTS_PER_S, SECONDS, PARTITIONS, measured)
    _show(found)
    print(runs.save("visible", EVENTS, int(EVENTS_PER_S * FULL_S), found))


def _measure(name: str, server: RedisServer, url: str, folder: Path) -> FromLog:
    with server.client() as client:
        client.flushall()
    # Made beforehand. The first one shows that all processes are up.
    first, *rest = islice(entries(), EVENTS + 1)
    limits = {"PROJECTION_WAIT_MS": str(_WAIT_MS), "API_REQUEST_TIMEOUT_MS": str(_WAIT_MS + 1000), "ACCESS_LOG": "off"}
    with (
        Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url),
        Api(folder, server.url, LOG_LEVEL="warning", **limits) as api,
        open_log(url, {}) as log,
        ThreadPoolExecutor(_READERS) as pool,
    ):
        log.create()
        readers = _Readers(api.port)
        readers.ask(log.append([first]))
        appended, visible, spent_s = _load(log, rest, readers, pool)
    return FromLog(name, round(EVENTS / spent_s), len(appended), _spread(appended), _spread(visible))


def _load(
    log: Log, events: Sequence[Entry], readers: "_Readers", pool: ThreadPoolExecutor
) -> tuple[list[float], list[float], float]:
    """Returns seconds until each append was acknowledged, until it was visible, and of the whole load."""
    appended, asked, sent = [], [], 0
    started_s = time.perf_counter()
    while sent < len(events):
        now_s = time.perf_counter()
        due = min(int((now_s - started_s) * EVENTS_PER_S), len(events))
        if due > sent:
            positions = log.append(events[sent:due])
            appended.append(time.perf_counter() - now_s)
            asked.append((now_s, pool.submit(readers.ask, positions)))
            sent = due
        time.sleep(max(0.0, now_s + _TICK_S - time.perf_counter()))
    spent_s = time.perf_counter() - started_s
    return appended, [reader.result() - now_s for now_s, reader in asked], spent_s


class _Readers:
    """Sends requests on one persistent connection per thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = token()
        self._mine = threading.local()

    def ask(self, positions: Sequence[Position]) -> float:
        """Waits until the list reflects all positions; returns the time of `perf_counter`."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2 * _WAIT_MS / 1000)
        last = {position.partition: position for position in sorted(positions)}
        headers = {"Authorization": f"Bearer {self._token}", "X-Min-Position": ",".join(map(str, last.values()))}
        self._mine.connection.request("GET", "/admin/order-groups?limit=1", headers=headers)
        response = self._mine.connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return time.perf_counter()


def _spread(seconds: Sequence[float]) -> Spread:
    p50, p99, most = (round(1000 * value, 2) for value in (*(quantile(seconds, q) for q in (0.5, 0.99)), max(seconds)))
    return Spread(p50, p99, most)


def _show(found: Report) -> None:
    table = Table("log", "events/s", "append p50, p99, max ms", "visible p50, p99, max ms")
    for log in found.logs:
        spreads = (f"{one.p50:.1f}, {one.p99:.1f}, {one.max:.1f}" for one in (log.append, log.visible))
        table.add_row(log.name, f"{log.events_per_s:,}", *spreads)
    machine = found.machine
    console = Console()
    console.print(f"{found.events:,} events, {machine.redis}, {machine.processors} processors")
    console.print(table)


if __name__ == "__main__":
    main()
