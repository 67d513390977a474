"""`projector plan`: what a marketplace of a given size needs."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from projector.cli.show import TABLE_WIDTH
from projector.cli.wiring import AsJson
from projector.sizing import GENERATIONS, Load, Size, size

GIB = 1024**3


class Server(StrEnum):
    REDIS = "redis"
    VALKEY = "valkey"


def plan(
    groups: Annotated[float, typer.Option("--groups", metavar="N", min=1, max=1e9, help="Order groups, as 5e6.")],
    events: Annotated[
        float, typer.Option("--events-per-second", metavar="N", min=0, max=1e6, help="At the busiest time.")
    ] = 100,
    requests: Annotated[
        float, typer.Option("--requests-per-second", metavar="N", min=0, max=1e6, help="At the busiest time.")
    ] = 100,
    orders: Annotated[float, typer.Option("--orders-per-group", metavar="N", min=1, max=1000, help="On average.")] = 2,
    life: Annotated[
        float, typer.Option("--events-per-group", metavar="N", min=1, max=1e5, help="Over its whole life.")
    ] = 3,
    server: Annotated[Server, typer.Option("--server", help="What holds the read model.")] = Server.REDIS,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, max=64, help="Of a replay.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what so many order groups need: memory, shards, partitions, processes, time of a rebuild."""
    found = size(Load(round(groups), events, requests, orders, life, server, workers))
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    table = Table(box=SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in _rows(found, workers):
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH).print(table)
    print("docs/sizing.md has the formulas. Measure with your own orders before you rely on it.")


def _rows(found: Size, workers: int) -> Iterator[tuple[str, str, str]]:
    masters = f"{found.masters} master{'s' * (found.masters > 1)}"
    yield "a generation", _gib(found.generation_bytes), "the read model in Redis"
    yield "maxmemory", _gib(found.redis_bytes), f"{GENERATIONS} generations during a replay, and 15 % free; {masters}"
    yield "machines of Redis", _gib(found.machine_bytes), "with a rewrite of the append-only file"
    yield "disk of Redis", _gib(found.disk_bytes), "the append-only file, and its rewrite"
    yield "shards", str(found.shards), "SHARDS, or projector replay --shards N"
    yield "events", f"{found.events:,}", f"in the log: {_gib(found.log_bytes)} for each copy"
    yield "partitions", str(found.partitions), "of the topic; more can be added later"
    yield "projectors", str(found.projectors), f"of {_gib(found.projector_bytes)}"
    yield "rebuild", _time(found.rebuild_s), f"projector replay build, {workers} worker{'s' * (workers > 1)}"
    yield "API processes", str(found.apis), f"of {_gib(found.api_bytes)}"


def _gib(bytes_: int) -> str:
    return f"{bytes_ / GIB:,.1f} GiB"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(minutes, 1)} min"
