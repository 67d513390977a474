"""Facets and sums of the lists of bench/lists.py, and in PostgreSQL, if that is installed, as GROUP BY on one table.

    python -m bench.counted   settings as those of bench/lists.py; results go to BENCH_RESULTS (bench/results)

Measured is what is counted, and the number of groups, without a page. All counts and sums of both are compared: if one
is wrong, there are no results. At a million groups it takes seven minutes.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from rich.console import Console

from bench import lists, longest, marketplace, runs
from bench.contest import Answer, Contender, Contest, Results, Wrong, quantile, quantile_of_calls
from bench.hard import hard
from bench.served import Asked
from bench.shapes import Shape, shapes
from bench.slowlog import Loop, SlowLog
from events.logs.open import sqlite_url
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from bench.tables import Connection

# What is asked for, as parameters of the endpoint.
ASKED = {
    "facets": {"facets": "status,sales_channel_id,seller_id"},
    "sums": {"sums": "total"},
}
# The fields of the facets, as columns of PostgreSQL.
_COLUMNS = {"status": "statuses", "sales_channel_id": "sales_channel_ids", "seller_id": "seller_ids"}
_SELLERS = 20


class Line(Struct):
    """`took`: contender -> p50 and p99 in milliseconds, if it answered. `call_p99`: of the calls in Redis."""

    name: str
    count: int
    took: dict[str, tuple[float, float]]
    call_p99: float


class Report(runs.Run):
    groups: int
    shards: int
    lines: list[Line]


class Grouped:
    """One statement for the count, and one for each facet or for the sums."""

    name = "PostgreSQL, one table"

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        """Nothing to prepare."""

    def calls(self) -> None:
        """Not available."""

    def ask(self, shape: Shape) -> Answer:
        from bench.tables import where

        condition, arguments = where(shape)
        started_s = time.perf_counter()
        ((count,),) = self._rows(f"SELECT count(*) FROM listed WHERE {condition}", arguments)
        found: list[str] = []
        for field in shape.parameters.get("facets", "").split(","):
            if field:
                limit = f"LIMIT {_SELLERS}" if field == "seller_id" else ""
                rows = self._rows(
                    f"SELECT value, count(*) FROM listed, unnest({_COLUMNS[field]}) AS value WHERE {condition} "
                    f'GROUP BY value ORDER BY count(*) DESC, value COLLATE "C" {limit}',
                    arguments,
                )
                found += [f"{value} {number}" for value, number in rows]
        if "sums" in shape.parameters:
            # All orders of this marketplace are in one currency.
            millionths = ", ".join(f"({name}(total) * 1000000)::bigint" for name in ("sum", "min", "max"))
            rows = self._rows(f"SELECT {millionths}, count(*) FROM listed WHERE {condition}", arguments)
            found += [f"eur {total} {number} {least} {most}" for total, least, most, number in rows if number]
        return Answer(time.perf_counter() - started_s, count, tuple(found))

    def _rows(self, statement: str, arguments: Sequence[str]) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement.encode(), arguments).fetchall()


def counting(number: int) -> list[Shape]:
    """The lists for a marketplace of that many groups, each with facets and with sums instead of a page."""
    return [
        Shape(f"{shape.name}: {what}", {**shape.filters, **asked, "limit": "0"})
        for shape in shapes(number)
        for what, asked in ASKED.items()
        if "offset" not in shape.parameters
    ]


def main() -> None:
    console = Console(markup=False, highlight=False)
    asked = counting(lists.GROUPS)
    with (
        console.status("") as status,
        tempfile.TemporaryDirectory() as name,
        RedisServer(runs.redis_home()) as server,
        ProcessPoolExecutor(1, get_context("spawn")) as another,
    ):
        machine, folder = runs.machine(server.home), Path(name)
        filling = another.submit(marketplace.fill, sqlite_url(folder / lists.LOG), lists.GROUPS)
        tally = longest.Tally(hard(lists.GROUPS))
        with lists.postgres_of(console, tally, status.update) as postgres:
            lists.read_model(filling.result(), server, folder, status.update)
            with server.client() as client, closing(Asked(server.url, slow := SlowLog(client))) as ours:
                contenders: list[Contender] = [ours]
                if postgres:
                    contenders.append(Grouped(postgres.connection))
                loop = Loop(client, slow)
                expected = {shape.name: contenders[-1].ask(shape).count for shape in asked}
                timing = lists.REQUESTS, lists.SECONDS, lists.ROUNDS
                try:
                    contest = Contest(contenders, asked, expected, *timing, lambda: loop.run(lists.LOOPS))
                    results = contest.run(status.update)
                except Wrong as wrong:
                    raise SystemExit(f"bench: {wrong}") from None
        machine.postgresql = postgres.version if postgres else None
    lines = [_line(shape.name, expected[shape.name], [one.name for one in contenders], results) for shape in asked]
    found = Report(runs.now(), runs.commit(), machine, lists.GROUPS, lists.SHARDS, lines)
    for line in lines:
        took = "; ".join(f"{name} {p50:.2f}, {p99:.2f} ms" for name, (p50, p99) in line.took.items())
        console.print(f"{line.name}: {line.count:,} groups; {took}; calls in Redis {line.call_p99:.2f} ms")
    stem = "counted" if lists.SHARDS == 1 else f"counted-{lists.SHARDS}-shards"
    console.print(str(runs.save(stem, lists.GROUPS, lists.MILLION, found)))


def _line(name: str, count: int, contenders: Sequence[str], results: Results) -> Line:
    took = {}
    for one in contenders:
        if seconds := results[one, name].seconds:
            p50, p99 = (round(1000 * quantile(seconds, share), 3) for share in (0.5, 0.99))
            took[one] = p50, p99
    calls = quantile_of_calls(results[Asked.name, name].calls, 0.99)
    return Line(name, count, took, round(1000 * calls, 3))


if __name__ == "__main__":
    main()
