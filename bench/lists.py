"""Lists of a large marketplace, of every shape, and in PostgreSQL if that is installed.

    python -m bench.lists     BENCH_GROUPS (1 000 000) order groups; of each shape BENCH_REQUESTS (200), in at most
                              BENCH_SECONDS (2), in BENCH_ROUNDS (5); results go to BENCH_RESULTS (bench/results);
                              BENCH_POSTGRES=off leaves PostgreSQL out; BENCH_SHARDS (1) of the read model, all on one
                              server

At a million groups it takes seven minutes, 10 GB of disk and as much memory. Only the results of a million groups
in one shard get the plain names, lists.json and lists.svg. The count of every answer is compared, and the page of each
first answer: if one is wrong, there are no results.
"""

import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from bench import longest, marketplace, report, runs
from bench.contest import Contender, Contest, Wrong
from bench.hard import hard
from bench.longest import Progress
from bench.marketplace import Filled
from bench.postgres import fast
from bench.served import Asked, Build, Served, build
from bench.shapes import Shape, counts, shapes
from bench.slowlog import Loop, SlowLog
from events.logs.open import sqlite_url
from tests.processes import Api
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from bench.tables import Connection, Denormalised, Normalised

MILLION = 1_000_000
GROUPS = int(os.environ.get("BENCH_GROUPS", MILLION))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", 200))
SECONDS = float(os.environ.get("BENCH_SECONDS", 2))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
# Seconds for each adversarial query.
ADVERSARIAL_SECONDS = SECONDS / 2
# Calls of the no-op script between any two contenders.
LOOPS = 3
LOG = "orders.db"
SHARDS = int(os.environ.get("BENCH_SHARDS", 1))
WITH_POSTGRES = os.environ.get("BENCH_POSTGRES") != "off"


class Postgres(NamedTuple):
    version: str
    load_s: float
    has_trigrams: bool
    connection: "Connection"
    one_table: "Denormalised"
    joins: "Normalised"


def main() -> None:
    console = Console(markup=False, highlight=False)
    started_s = time.monotonic()
    asked, difficult = shapes(GROUPS), hard(GROUPS)
    tally = longest.Tally(difficult)
    with (
        console.status("") as status,
        tempfile.TemporaryDirectory() as name,
        RedisServer(runs.redis_home()) as server,
        ProcessPoolExecutor(1, get_context("spawn")) as another,
    ):
        machine, folder = runs.machine(server.home), Path(name)
        # Runs while PostgreSQL is loaded.
        filling = another.submit(marketplace.fill, sqlite_url(folder / LOG), GROUPS)
        with postgres_of(console, tally, status.update) as postgres:
            status.update(f"publishing the events of {GROUPS:,} groups")
            made = read_model(filling.result(), server, folder, status.update)
            with (
                Api(folder, server.url, LOG_LEVEL="warning") as api,
                server.client() as client,
                closing(Asked(server.url, slow := SlowLog(client))) as asked_directly,
                closing(Served(api.port, slow)) as served,
            ):
                contenders: list[Contender] = [asked_directly, served]
                if postgres:
                    contenders += [postgres.one_table, postgres.joins]
                expected = _counts(asked, postgres, tally, status.update)
                try:
                    loop = Loop(client, slow)
                    contest = Contest(contenders, asked, expected, REQUESTS, SECONDS, ROUNDS, lambda: loop.run(LOOPS))
                    results = contest.run(status.update)
                    took = longest.measured(
                        asked_directly, difficult, tally.counts, REQUESTS, ADVERSARIAL_SECONDS, status.update
                    )
                except Wrong as wrong:
                    raise SystemExit(f"bench: {wrong}") from None
        machine.postgresql = postgres.version if postgres else None
        names = [one.name for one in contenders]
        found = report.Report(
            date=runs.now(),
            commit=runs.commit(),
            machine=machine,
            groups=GROUPS,
            shards=SHARDS,
            build=made,
            postgresql_load_s=round(postgres.load_s, 1) if postgres else None,
            postgresql_trigrams=postgres.has_trigrams if postgres else None,
            requests=REQUESTS,
            seconds=SECONDS,
            rounds=ROUNDS,
            contenders=names,
            lines=report.lines(asked, expected, names, results),
            hard=took,
            loop=report.looped(loop.calls),
        )
    _show(console, found)
    path = runs.save("lists" if SHARDS == 1 else f"lists-{SHARDS}-shards", GROUPS, MILLION, found)
    path.with_suffix(".svg").write_text(report.list_chart(found))
    console.print(f"{path}, and .svg")
    console.print(f"{time.monotonic() - started_s:,.0f} s in all")


def read_model(filled: Filled, server: RedisServer, folder: Path, progress: Progress) -> Build:
    progress(f"projector replay: {filled.events:,} events")
    made = build(filled, server, sqlite_url(folder / LOG), folder, SHARDS)
    (folder / LOG).unlink()
    return made


@contextmanager
def postgres_of(console: Console, tally: longest.Tally, progress: Progress) -> Iterator[Postgres | None]:
    """Yields None, and prints why, if PostgreSQL is not available."""
    if not WITH_POSTGRES:
        console.print("Without PostgreSQL: BENCH_POSTGRES=off.")
        yield None
        return
    try:
        from bench import tables
        from tests.servers import postgres
    except ImportError as error:
        console.print(f"Without PostgreSQL: its driver is missing ({error}): pip install '.[postgres]'.")
        yield None
        return
    programs = postgres.home()
    if programs is None:
        console.print(f"Without PostgreSQL: {postgres.MISSING}.")
        yield None
        return
    progress("starting PostgreSQL")
    with (
        postgres.PostgresServer(programs, fast(runs.memory_bytes(), os.cpu_count() or 1)) as server,
        closing(server.connect()) as connection,
    ):
        started_s = time.perf_counter()
        has_trigrams = tables.load(connection, tally.over(marketplace.groups(GROUPS)), progress)
        load_s = time.perf_counter() - started_s
        if not has_trigrams:
            console.print("PostgreSQL without an index for q: its extension pg_trgm is not installed.")
        one_table, joins = tables.Denormalised(connection), tables.Normalised(connection)
        yield Postgres(server.version(), load_s, has_trigrams, connection, one_table, joins)


def _counts(
    asked: Sequence[Shape], postgres: Postgres | None, tally: longest.Tally, progress: Progress
) -> Mapping[str, int]:
    """Shape -> expected count, by PostgreSQL, or without it by a pass over all groups."""
    progress("counting what each list must find")
    if postgres is None:
        deque(tally.over(marketplace.groups(GROUPS)), maxlen=0)
        return counts(GROUPS, asked)
    return {shape.name: postgres.one_table.ask(shape).count for shape in asked}


def _show(console: Console, found: report.Report) -> None:
    made, machine = found.build, found.machine
    console.print(
        f"{found.groups:,} groups, shards: {found.shards}, {machine.redis}, "
        f"PostgreSQL {machine.postgresql or 'not available'}, "
        f"{machine.processors} processors (load before the run: {machine.load_average}), commit {found.commit}"
    )
    console.print(
        f"projector replay: {made.events:,} events in {made.build_s:,.1f} s, {made.events_per_s:,}/s, and a sample of "
        f"{made.sample:.0%} verified in {made.verify_s:,.1f} s; {made.bytes_per_group:,} bytes a group of "
        f"{made.orders / made.groups:.1f} orders, all of Redis {made.redis_bytes_per_group:,.0f}"
    )
    console.print(report.table(found))
    console.print(report.adversarial_table(found))
    loop = found.loop
    console.print(
        f"Baseline, a no-op script between the lists: p50 {loop.p50:.2f} ms, p99 {loop.p99:.2f}, "
        f"longest {loop.longest:.2f} of {loop.calls:,}"
    )


if __name__ == "__main__":
    main()
