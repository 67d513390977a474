"""What one client's most expensive lists cost another client, who reads the default list.

    python -m bench.fair      BENCH_GROUPS (1 000 000) order groups; BENCH_SECONDS (20) of each load; results go to
                              BENCH_RESULTS (bench/results)

One client has BENCH_CONNECTIONS (8) connections, each with one list at a time; another client, with other credentials,
asks for the default list on one connection. Each client is a process.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import marketplace, runs
from bench.hard import hard
from bench.load import Load, load
from bench.runs import Run
from bench.served import build
from events.logs.open import sqlite_url
from tests.processes import Api, token
from tests.servers.redis import RedisServer

MILLION = 1_000_000
GROUPS = int(os.environ.get("BENCH_GROUPS", MILLION))
SECONDS = float(os.environ.get("BENCH_SECONDS", 20))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", 8))
LIST = "/admin/order-groups"
# Milliseconds that the other client may wait, at the 99th percentile.
AIM_MS = 25.0


class Loaded(Struct):
    """`p50_ms` to `max_ms`: of the other client's lists. `own`: status -> answers to the first client."""

    name: str
    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    own: dict[str, int]


class Report(Run):
    groups: int
    connections: int
    seconds: float
    loads: list[Loaded]


class _Family(NamedTuple):
    name: str
    queries: Sequence[str]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home), Path(name)
        url = sqlite_url(folder / "orders.db")
        build(marketplace.fill(url, GROUPS), server, url, folder, shards=1)
        with (
            Api(folder, server.url, LOG_LEVEL="warning", ACCESS_LOG="off") as api,
            ProcessPoolExecutor(2, get_context("spawn")) as clients,
        ):
            api.wait_until_ready()
            found = [_measured(clients, api.port, family) for family in _families()]
    report = Report(runs.now(), runs.commit(), machine, GROUPS, CONNECTIONS, SECONDS, found)
    _show(report)
    print(runs.save("fair", GROUPS, MILLION, report))


def _families() -> list[_Family]:
    lists = {one.name: one.query for one in hard(GROUPS)}
    documents = [query for name, query in lists.items() if "whole documents" in name]
    text = [query for name, query in lists.items() if "letter" in name]
    others = [query for query in lists.values() if query not in (*documents, *text)]
    return [
        _Family("nothing else", ()),
        _Family("masks and prepared masks", others),
        _Family("text", text),
        _Family("whole documents", documents),
        _Family("all of them", [*lists.values()]),
    ]


def _measured(clients: ProcessPoolExecutor, port: int, family: _Family) -> Loaded:
    targets = [f"{LIST}?{query}" for query in family.queries]
    one, other = (f"Bearer {token(actor_id=name)}" for name in ("one", "other"))
    # Longer than the other client, so that it never is alone.
    heavy = clients.submit(load, port, targets, {"Authorization": one}, CONNECTIONS, SECONDS + 1) if targets else None
    plain = clients.submit(load, port, [LIST], {"Authorization": other}, 1, SECONDS).result()
    own = heavy.result() if heavy else Load()
    return Loaded(
        family.name,
        len(plain.latencies),
        p50_ms=round(plain.quantile_ms(0.5), 2),
        p99_ms=round(plain.quantile_ms(0.99), 2),
        max_ms=round(plain.quantile_ms(1), 2),
        refused=len(plain.latencies) - plain.statuses.get(200, 0),
        own={str(status): number for status, number in own.statuses.items()},
    )


def _show(report: Report) -> None:
    table = Table("beside", "requests", "p50, p99, max ms", "refused", "answers to the other")
    for one in report.loads:
        spread = f"{one.p50_ms:.1f}, {one.p99_ms:.1f}, {one.max_ms:.1f}"
        table.add_row(one.name, f"{one.requests:,}", spread, str(one.refused), str(one.own))
    console = Console()
    console.print(f"{report.groups:,} groups, {report.connections} connections, {report.machine.redis}")
    console.print(table)


if __name__ == "__main__":
    main()
