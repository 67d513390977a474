"""How long a published event takes to all streams of changes, with the projector and a real log.

    python -m bench.changes   BENCH_SUBSCRIBERS (1 000) streams, half of which follow one list; BENCH_COMMITS (50)
                              events after a quiet second each, then BENCH_SECONDS (10) of BENCH_RATE (500) events a
                              second; results go to BENCH_RESULTS (bench/results)

Measured from before the append to the log until the client has read the event that names the group. One process reads
all streams, one after the other, so its own time is in the figures; what it reads is decoded afterwards.
"""

import asyncio
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.runs import Run
from events.logs.log import Entry
from events.logs.open import open_log, sqlite_url
from events.publisher import entry_of
from tests.poison import event
from tests.processes import Api, Process, token
from tests.servers.redis import RedisServer

FULL = 1_000
SUBSCRIBERS = int(os.environ.get("BENCH_SUBSCRIBERS", FULL))
COMMITS = int(os.environ.get("BENCH_COMMITS", 50))
SECONDS = float(os.environ.get("BENCH_SECONDS", 10))
RATE = int(os.environ.get("BENCH_RATE", 500))
PATH = "/admin/order-groups/changes"
LISTED = PATH + "?status=pending&order=-total&limit=20"
# Streams that are opened at once: a process has 200 requests in progress.
AT_ONCE = 100
# Milliseconds at the 99th percentile, over all streams.
QUIET_AIM_MS, LOADED_AIM_MS = 100.0, 300.0
# Seconds between two appends under load: several events a batch, as a busy shop has.
_TICK_S = 0.01
_GRACE_S = 10.0
_BEGIN_S = 10.0


class Spread(Struct):
    """Milliseconds, over all events and streams. `missing`: streams in which an event did not come."""

    measured: int
    p50: float
    p99: float
    max: float
    missing: int


class Report(Run):
    subscribers: int
    commits: int
    events_per_s: int
    seconds: float
    quiet: Spread
    loaded: Spread


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home), Path(name)
        url = sqlite_url(folder / "orders.db")
        with (
            Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url),
            Api(folder, server.url, LOG_LEVEL="warning", ACCESS_LOG="off") as api,
            open_log(url, {}) as log,
            ProcessPoolExecutor(1, get_context("spawn")) as readers,
            get_context("spawn").Manager() as manager,
        ):
            log.create()
            numbers = itertools.count(1)
            log.append([_entry(next(numbers))])
            api.wait_until_ready()
            ready, stop = manager.Event(), manager.Event()
            read = readers.submit(_read, api.port, SUBSCRIBERS, ready, stop)
            while not ready.wait(1.0):
                if read.done():
                    read.result()
            sent = {}
            for _ in range(COMMITS):
                time.sleep(1.0)
                sent.update(_append(log, [next(numbers)]))
            quiet_ids = set(sent)
            started_s = time.perf_counter()
            due = 0.0
            while (now_s := time.perf_counter() - started_s) < SECONDS:
                several = list(itertools.islice(numbers, int(now_s * RATE - due)))
                due += len(several)
                sent.update(_append(log, several))
                time.sleep(_TICK_S)
            time.sleep(2.0)
            stop.set()
            came = read.result(_GRACE_S)
    quiet = _spread([one for one in sent if one in quiet_ids], sent, came)
    loaded = _spread([one for one in sent if one not in quiet_ids], sent, came)
    found = Report(runs.now(), runs.commit(), machine, SUBSCRIBERS, COMMITS, RATE, SECONDS, quiet, loaded)
    _show(found)
    print(runs.save("changes", SUBSCRIBERS, FULL, found))


def _entry(number: int) -> Entry:
    return entry_of(msgspec.json.encode(event(number)))


def _append(log: Any, numbers: Sequence[int]) -> dict[str, float]:
    """Returns group -> when its event was about to be appended."""
    entries, now_s = [_entry(number) for number in numbers], time.perf_counter()
    if entries:
        log.append(entries)
    return {f"og_{number}": now_s for number in numbers}


def _read(port: int, streams: int, ready: threading.Event, stop: threading.Event) -> list[dict[str, float]]:
    """Returns, of each stream, group -> when it was named first. Events too large to name groups are left out."""

    async def run() -> list[dict[str, float]]:
        loop, known, targets = asyncio.get_running_loop(), dict[bytes, bytes](), itertools.cycle((PATH, LISTED))
        opened: list[_Stream] = []
        for first in range(0, streams, AT_ONCE):
            # Another admin: none has more work in progress than one may.
            bearer = token(actor_id=f"user_{first}")
            each = [partial(_Stream, next(targets), bearer, known) for _ in range(min(AT_ONCE, streams - first))]
            connected = await asyncio.gather(*(loop.create_connection(one, "127.0.0.1", port) for one in each))
            some = [stream for _, stream in connected]
            opened += some
            try:
                async with asyncio.timeout(_BEGIN_S):
                    await asyncio.gather(*(one.begun.wait() for one in some))
            except TimeoutError:
                fault = next((one.fault for one in some if one.fault), "")
                raise RuntimeError(f"streams have not begun after {_BEGIN_S:.0f} s {fault}") from None
        ready.set()
        await asyncio.to_thread(stop.wait)
        ids = cache(_ids)
        return [one.came(ids) for one in opened]

    return uvloop.run(run())


class _Stream(asyncio.Protocol):
    """Notes what comes, and when. `lines`: those with data; equal ones of all streams are kept once, in `known`."""

    def __init__(self, target: str, bearer: str, known: dict[bytes, bytes]) -> None:
        self.lines: list[tuple[float, bytes]] = []
        self.begun = asyncio.Event()
        self.fault = ""
        self._request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
        self._known = known
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self.lines.append((now_s, self._known.setdefault(line, line)))
                self.begun.set()
            elif line.startswith(b"HTTP/1.1 ") and b" 200 " not in line:
                self.fault = line.decode()

    def came(self, ids: Callable[[bytes], Sequence[str]]) -> dict[str, float]:
        """Returns group -> when it was named first. `ids`: of a line."""
        found: dict[str, float] = {}
        for now_s, line in self.lines:
            for group in ids(line):
                found.setdefault(group, now_s)
        return found


def _ids(line: bytes) -> Sequence[str]:
    found: Sequence[str] = msgspec.json.decode(line.removeprefix(b"data: ")).get("ids", ())
    return found


def _spread(groups: Sequence[str], sent: dict[str, float], came: Sequence[dict[str, float]]) -> Spread:
    def each() -> Iterator[float]:
        for one in came:
            yield from (1000 * (one[group] - sent[group]) for group in groups if group in one)

    took = sorted(each())
    if not took:
        raise SystemExit("bench: no stream has brought any event")
    p50, p99, most = (round(took[int(share * (len(took) - 1))], 2) for share in (0.5, 0.99, 1))
    return Spread(len(took), p50, p99, most, len(groups) * len(came) - len(took))


def _show(found: Report) -> None:
    table = Table("publish to stream", "measured", "p50, p99, max ms", "aim p99", "missing")
    for name, one, aim_ms in (("quiet", found.quiet, QUIET_AIM_MS), ("loaded", found.loaded, LOADED_AIM_MS)):
        spread = f"{one.p50:.1f}, {one.p99:.1f}, {one.max:.1f}"
        table.add_row(name, f"{one.measured:,}", spread, f"{aim_ms:.0f}", str(one.missing))
    console = Console()
    console.print(f"{found.subscribers:,} streams, {found.machine.redis}")
    console.print(table)


if __name__ == "__main__":
    main()
