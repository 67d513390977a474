"""How soon the console shows rows, how much it transfers, and whether its memory stays flat under live updates.

    python -m bench.console   BENCH_GROUPS (1 000 000) order groups behind it; BENCH_SECONDS (1800) of live updates at
                              BENCH_RATE (10) events a second; results go to BENCH_RESULTS (bench/results)

The system's Chromium, without a window, on the machine of the servers. Each load has an empty cache. Rows count from
the start of the navigation until the first one is in the document. The page follows: it reads its rows, facets, sums
and bars anew, at most once a second.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench import marketplace, runs
from bench.contest import quantile
from bench.runs import Run
from bench.served import build
from events.logs.log import Entry
from events.logs.open import open_log, sqlite_url
from events.publisher import entry_of
from tests.console.screen import chromium
from tests.poison import event
from tests.processes import Api, Process, token
from tests.servers.redis import RedisServer

STATIC = Path(__file__).parents[1] / "api" / "console" / "static"
MILLION = 1_000_000
GROUPS = int(os.environ.get("BENCH_GROUPS", MILLION))
SECONDS = float(os.environ.get("BENCH_SECONDS", 1800))
RATE = float(os.environ.get("BENCH_RATE", 10))
LOADS = 20
# Milliseconds at the 99th percentile; bytes; how much more the last sample may have than the first one.
ROWS_AIM_MS, TRANSFER_AIM_BYTES, GROWTH_AIM = 300.0, 80_000, 1.2
# Seconds between two samples, if there is time for more than a few.
SAMPLE_S = 60.0
_SAMPLES_MIN = 5
# Later than all of the marketplace, in Unix milliseconds: each new group enters at the top.
_LATER_MS = int(marketplace.UNTIL.timestamp() * 1000) + 60_000
_WAIT_MS = 30_000
_FIRST_ROW = """
new MutationObserver((_, watching) => {
  if (!document.querySelector(".list tbody tr")) return;
  window.firstRowMs = performance.now();
  watching.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
# The page's own files, as they came.
_FILES = """
() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({ name, responseEnd }) => responseEnd && new URL(name).pathname.startsWith("/console"))
"""
_TRANSFERRED = f"({_FILES})().reduce((sum, {{ transferSize }}) => sum + transferSize, 0)"
_MODULES = sum(1 for _ in STATIC.rglob("*.js"))


class Sample(Struct):
    """After a forced collection of garbage. `second`: of the live updates. `nodes`: of the document, and detached."""

    second: float
    heap_bytes: int
    nodes: int


class Report(Run):
    """`rows_p50_ms`, `rows_p99_ms`: from the navigation to the first row. `transfer_bytes`: of the page's files.
    With headers. `events`: published during the live updates; `pages`: lists that the page read meanwhile.
    """

    browser: str
    groups: int
    loads: int
    rows_p50_ms: float
    rows_p99_ms: float
    transfer_bytes: int
    seconds: float
    events: int
    pages: int
    samples: list[Sample]

    @property
    def growth(self) -> dict[str, float]:
        """The last sample as a multiple of the first one."""
        first, last = self.samples[0], self.samples[-1]
        return {"heap": last.heap_bytes / first.heap_bytes, "nodes": last.nodes / first.nodes}


class _Loaded(NamedTuple):
    rows_ms: float
    transferred: int


class _Followed(NamedTuple):
    events: int
    pages: int
    samples: list[Sample]


def main() -> None:
    program = chromium()
    if program is None:
        raise SystemExit("bench: expected chromium, found none: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home), Path(name)
        url = sqlite_url(folder / "orders.db")
        build(marketplace.fill(url, GROUPS), server, url, folder, shards=1)
        with (
            Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url),
            Api(folder, server.url, LOG_LEVEL="warning", ACCESS_LOG="off") as api,
            sync_playwright() as playwright,
        ):
            api.wait_until_ready()
            browser = playwright.chromium.launch(executable_path=program)
            address = f"http://127.0.0.1:{api.port}/console#token={token()}"
            _loaded(browser, address)
            loads = [_loaded(browser, address) for _ in range(LOADS)]
            followed = _followed(browser, address, url)
            version = browser.version
            browser.close()
    rows_ms = [one.rows_ms for one in loads]
    found = Report(
        *(runs.now(), runs.commit(), machine, f"Chromium {version}", GROUPS, LOADS),
        rows_p50_ms=round(quantile(rows_ms, 0.5), 1),
        rows_p99_ms=round(quantile(rows_ms, 0.99), 1),
        transfer_bytes=max(one.transferred for one in loads),
        seconds=SECONDS,
        events=followed.events,
        pages=followed.pages,
        samples=followed.samples,
    )
    _show(found)
    print(runs.save("console", GROUPS, MILLION, found))


@contextmanager
def _opened(browser: Browser, address: str) -> Iterator[Page]:
    """Yields the page in a context of its own, with an empty cache, once it has a row."""
    context = browser.new_context()
    context.set_default_timeout(_WAIT_MS)
    context.add_init_script(_FIRST_ROW)
    page = context.new_page()
    page.goto(address)
    page.locator(".list tbody tr").first.wait_for(state="attached")
    yield page
    context.close()


def _loaded(browser: Browser, address: str) -> _Loaded:
    with _opened(browser, address) as page:
        # Files of other views come after the rows. The page forbids Playwright's own waiting, which uses eval.
        began_s = time.monotonic()
        while (there := page.evaluate(f"({_FILES})().length")) <= _MODULES:
            if time.monotonic() - began_s > _WAIT_MS / 1000:
                raise SystemExit(f"bench: expected {_MODULES} modules and the page, found {there} files")
            page.wait_for_timeout(10)
        return _Loaded(page.evaluate("window.firstRowMs"), page.evaluate(_TRANSFERRED))


def _followed(browser: Browser, address: str, log_url: str) -> _Followed:
    """Follows the list while events are published."""
    stop, published, pages = threading.Event(), [0], [0]

    def count(address: str) -> None:
        pages[0] += "/admin/order-groups?" in address and "limit=50" in address

    with _opened(browser, address) as page:
        page.get_by_label("Follow").check()
        page.on("request", lambda request: count(request.url))
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable")

        def sample(second: float) -> Sample:
            devtools.send("HeapProfiler.collectGarbage")
            values = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
            return Sample(round(second, 1), int(values["JSHeapUsedSize"]), int(values["Nodes"]))

        writer = threading.Thread(target=_publish, args=(log_url, stop, published))
        writer.start()
        try:
            every_s, began_s = min(SAMPLE_S, SECONDS / _SAMPLES_MIN), time.monotonic()
            samples: list[Sample] = []
            while (second := time.monotonic() - began_s) < SECONDS:
                page.wait_for_timeout(1000 * min(every_s, SECONDS - second))
                samples.append(sample(time.monotonic() - began_s))
        finally:
            stop.set()
            writer.join()
    return _Followed(published[0], pages[0], samples)


def _publish(url: str, stop: threading.Event, published: list[int]) -> None:
    """Publishes a new group, and a change of the one before, in turns."""
    with open_log(url, {}) as log:
        began_s = time.monotonic()
        while not stop.wait(max(0.0, began_s + (published[0] + 1) / RATE - time.monotonic())):
            published[0] += 1
            log.append([_entry(published[0])])


def _entry(number: int) -> Entry:
    of, changes = divmod(number, 2)
    at = marketplace.time_text(_LATER_MS + number)
    kind, total = ("order.updated", 7 * number) if changes else ("order.created", number)
    made = event(of, kind, version=1 + changes, total=total, created_at=at, updated_at=at)
    return entry_of(msgspec.json.encode(made))


def _show(found: Report) -> None:
    table = Table("second", "heap", "nodes")
    for one in found.samples:
        table.add_row(f"{one.second:.0f}", f"{one.heap_bytes / 1e6:.2f} MB", f"{one.nodes:,}")
    console = Console()
    console.print(
        f"{found.groups:,} groups, {found.browser}: first rows {found.rows_p50_ms} ms (p50), {found.rows_p99_ms} ms "
        f"(p99) of {found.loads} loads; {found.transfer_bytes / 1000:.1f} kB; {found.events:,} events, {found.pages:,} "
        "pages read"
    )
    console.print(table)


if __name__ == "__main__":
    main()
