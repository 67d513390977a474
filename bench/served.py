"""The read model as users have it: built by `projector replay`, served by `projector serve` over HTTP."""

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import uvloop
from msgspec import Struct

from api.config import READY_LAG_MAX, REDIS_WAIT_MS
from api.params.query import parse_list
from bench.contest import Answer, Calls, Refused
from bench.marketplace import Filled
from bench.memory import bytes_of_group
from bench.shapes import Shape
from bench.slowlog import SlowLog
from projector.readmodel.client.errors import TooMuch, Unavailable
from projector.readmodel.query.aggregates import Counted
from projector.readmodel.query.engine import Engine
from tests.processes import environment, projector, token
from tests.servers.redis import RedisServer

# Share of the groups that is compared before the switch: comparing a million would take a third of the run.
_SAMPLE = 0.02
_REPLAY = ("replay", "--yes", "--json", "--sample", str(_SAMPLE))
_TIMEOUT_S = 120


class Build(Struct):
    """`*_s`: seconds of `projector replay`'s steps; `sample`: the share of the groups that was verified.
    `bytes_per_group`: the estimate of `projector status`; `redis_*`: all memory of Redis. `bytes_for`: purpose -> bytes
    per group.
    """

    events: int
    groups: int
    orders: int
    build_s: float
    sample: float
    verify_s: float
    events_per_s: float
    bytes_per_group: int
    redis_bytes: int
    redis_bytes_per_group: float
    bytes_for: dict[str, float]


def build(filled: Filled, server: RedisServer, log_url: str, folder: Path, shards: int) -> Build:
    """Builds into an empty Redis, with one worker, since the log has one partition."""
    settings = {"EVENT_LOG_URL": log_url, "REDIS_URL": server.url}
    began_s: dict[str, float] = {}
    with (
        (folder / "replay.txt").open("w+b") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "projector", *_REPLAY, "--shards", str(shards)],
            cwd=folder,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as replay,
    ):
        assert replay.stdout is not None, "piped"
        for line in replay.stdout:
            began_s[msgspec.json.decode(line)["step"]] = time.perf_counter()
        if replay.wait() != 0:
            errors.seek(0)
            raise SystemExit(f"bench: projector replay failed\n{errors.read().decode()}")
    build_s = began_s["build"] - began_s["plan"]
    told = projector("status", "--json", cwd=folder, settings=settings).stdout
    (live,) = (one for one in msgspec.json.decode(told)["generations"] if one["live"])
    if live["groups"] != filled.groups:
        raise SystemExit(f"bench: expected {filled.groups:,} groups, the read model has {live['groups']:,}")
    with server.client() as client:
        used: int = cast(dict[str, Any], client.info("memory"))["used_memory"]
        bytes_for = bytes_of_group(client, filled.groups)
    return Build(
        events=filled.events,
        groups=filled.groups,
        orders=filled.orders,
        build_s=round(build_s, 2),
        sample=_SAMPLE,
        verify_s=round(began_s["verify"] - began_s["build"], 2),
        events_per_s=round(filled.events / build_s),
        bytes_per_group=live["bytes_per_group"],
        redis_bytes=used,
        redis_bytes_per_group=round(used / filled.groups, 1),
        bytes_for=bytes_for,
    )


class Asked:
    """The API's engine in this process, with redis-py on one connection, as PostgreSQL is queried with its driver.
    Measures from the query to count, rows and what is counted.
    """

    name = "this project"

    def __init__(self, redis_url: str, slow: SlowLog) -> None:
        self._slow = slow
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._engine = Engine(redis_url, REDIS_WAIT_MS, 1, READY_LAG_MAX)
        self._loop.run(self._engine.mirror())

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        self._slow.reset()

    def ask(self, shape: Shape) -> Answer:
        return self.answer(urlencode(shape.parameters))

    def answer(self, raw: str) -> Answer:
        """`raw`: the query string, percent-encoded. Raises Refused."""
        query = parse_list(raw)

        async def ask() -> tuple[float, int, bytes, Counted]:
            started_s = time.perf_counter()
            answer = await self._engine.list(query)
            return time.perf_counter() - started_s, answer.count, b",".join(answer.rows), answer.counted

        try:
            seconds, count, rows, counted = self._loop.run(ask())
        except (Unavailable, TooMuch) as refused:
            self._slow.wait_until_idle()
            raise Refused(str(refused)) from None
        ids = [group["id"] for group in msgspec.json.decode(b"[" + rows + b"]")]
        values = [f"{value} {number}" for facet in counted.facets for value, number in facet]
        sums = [f"{one.currency} {one.sum} {one.count} {one.least} {one.greatest}" for one in counted.sums]
        return Answer(seconds, count, (*ids, *values, *sums))

    def calls(self) -> Calls:
        return self._slow.calls()

    def close(self) -> None:
        self._loop.run(self._engine.close())
        self._loop.close()


class Served:
    """One persistent connection. Measures from the request to the last byte of the response."""

    name = "over HTTP"

    def __init__(self, port: int, slow: SlowLog) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {token()}"}
        self._slow = slow

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        """Reconnects: the API may have closed the idle connection while others were measured."""
        self._connection.close()
        self._get("/health/live")
        self._slow.reset()

    def ask(self, shape: Shape) -> Answer:
        target = "/admin/order-groups"
        if shape.parameters:
            target += f"?{urlencode(shape.parameters)}"
        started_s = time.perf_counter()
        status, body = self._get(target)
        seconds = time.perf_counter() - started_s
        if status != 200:
            self._slow.wait_until_idle()
            raise Refused(f"{status} after {1000 * seconds:,.0f} ms")
        answer = msgspec.json.decode(body)
        return Answer(seconds, answer["count"], tuple(group["id"] for group in answer["order_groups"]))

    def calls(self) -> Calls | None:
        return self._slow.calls()

    def close(self) -> None:
        self._connection.close()

    def _get(self, target: str) -> tuple[int, bytes]:
        self._connection.request("GET", target, headers=self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()
