"""The read model as its users have it: built by `projector replay`, asked of `projector serve` over HTTP."""

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
import redis
import uvloop
from msgspec import Struct

from api.config import READY_LAG_MAX, REDIS_WAIT_MS
from api.engine import Engine
from api.errors import Unavailable
from api.query import Query, parse_list
from bench.contest import Answer, Calls, Refused, Wrong
from bench.marketplace import Filled
from bench.shapes import Shape
from tests.processes import environment, projector, token
from tests.servers.process import wait_until
from tests.servers.redis import RedisServer

# Of the groups, that are compared before the switch: all of a million would take a third of the whole run.
_SAMPLE = 0.02
# A script that reads nothing and always does the same, for as long as this project's longer calls take.
_LOOP = "local sum = 0 for n = 1, tonumber(ARGV[1]) do sum = sum + n % 7 end return sum"
_LOOP_TURNS = 100_000
_LOOP_S = 0.0025
# What Redis notes as slow, in microseconds: to note a command takes it time, too.
_SLOWER_THAN_US = 100
_SLOWLOG_ENTRIES = 10_000
_TIMEOUT_S = 120
_REWRITE_S = 600.0


class Build(Struct):
    """`*_s`: seconds of `projector replay`'s steps; `sample`: the share of the groups that was verified.
    `bytes_per_group`: as `projector status` estimates it; `redis_*` is all that Redis holds.
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


def build(filled: Filled, server: RedisServer, log_url: str, folder: Path) -> Build:
    """Into an empty Redis: one partition, hence one worker."""
    settings = {"EVENT_LOG_URL": log_url, "REDIS_URL": server.url}
    began_s: dict[str, float] = {}
    with (
        (folder / "replay.txt").open("w+b") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "projector", "replay", "--yes", "--json", "--sample", str(_SAMPLE)],
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
    )


class SlowLog:
    """What Redis itself says of how long its calls take."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._called = 0
        client.config_set("slowlog-log-slower-than", _SLOWER_THAN_US)
        client.config_set("slowlog-max-len", _SLOWLOG_ENTRIES)
        # What the replay has left to do would be measured too.
        wait_until(lambda: not _rewrites(client), _REWRITE_S, "the rewrite of the append-only file")

    def reset(self) -> None:
        self._redis.slowlog_reset()
        self._called = self._calls()

    def calls(self) -> Calls:
        """Since the reset."""
        entries = self._redis.slowlog_get(_SLOWLOG_ENTRIES)
        if len(entries) == _SLOWLOG_ENTRIES:
            raise Wrong(f"more than the {_SLOWLOG_ENTRIES:,} long calls that Redis was to keep")
        # What a script calls is noted as well. Of our own looks there is one in it at most: the reset.
        took = [(entry["command"].upper(), entry["duration"] / 1_000_000) for entry in entries]
        noted = [seconds for command, seconds in took if command.startswith(b"EVALSHA")]
        longest = max((seconds for command, seconds in took if not command.startswith(b"SLOWLOG")), default=0.0)
        return Calls(self._calls() - self._called, noted, longest)

    def _calls(self) -> int:
        stats = self._redis.info("commandstats")
        calls: int = stats.get("cmdstat_evalsha", {}).get("calls", 0)
        return calls

    def wait_until_idle(self) -> None:
        """Redis may be at work on what was refused, and would keep the next one waiting."""

        def is_idle() -> bool:
            try:
                return bool(self._redis.ping())
            except redis.TimeoutError:
                return False

        wait_until(is_idle, _TIMEOUT_S, "Redis to be done with it")


class Loop:
    """What the machine adds to calls in Redis, whatever they do: a script that always does the same takes longer at
    times.
    """

    def __init__(self, client: "redis.Redis", slow: SlowLog) -> None:
        self._redis = client
        self._slow = slow
        self._script = client.script_load(_LOOP)
        self.calls: list[Calls] = []
        took_s = sorted(self._took(_LOOP_TURNS, 1).longest for _ in range(9))[4]
        self._turns = round(_LOOP_TURNS * _LOOP_S / took_s)

    def run(self, times: int) -> None:
        self.calls.append(self._took(self._turns, times))

    def _took(self, turns: int, times: int) -> Calls:
        self._slow.reset()
        for _ in range(times):
            self._redis.evalsha(self._script, 0, turns)
        return self._slow.calls()


class Asked:
    """The API's engine in this process, through redis-py on one connection, as PostgreSQL is asked through its driver.
    The time is that from the query to count and rows.
    """

    name = "this project"

    def __init__(self, redis_url: str, slow: SlowLog) -> None:
        self._slow = slow
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._engine = Engine(redis_url, REDIS_WAIT_MS, 1, READY_LAG_MAX)

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        self._slow.reset()

    def ask(self, shape: Shape) -> Answer:
        return self.answer(urlencode(shape.parameters))

    def answer(self, raw: str) -> Answer:
        """To a query as it comes, percent-encoded."""
        query = parse_list(raw)
        assert isinstance(query, Query)

        async def ask() -> tuple[float, int, bytes]:
            started_s = time.perf_counter()
            answer = await self._engine.list(query)
            return time.perf_counter() - started_s, answer.count, answer.rows

        try:
            seconds, count, rows = self._loop.run(ask())
        except Unavailable as unavailable:
            self._slow.wait_until_idle()
            raise Refused(str(unavailable)) from None
        return Answer(seconds, count, tuple(group["id"] for group in msgspec.json.decode(b"[" + rows + b"]")))

    def calls(self) -> Calls:
        return self._slow.calls()

    def close(self) -> None:
        self._loop.run(self._engine.close())
        self._loop.close()


class Served:
    """One connection that is kept alive; the time is that from the request to the last byte of its answer."""

    name = "over HTTP"

    def __init__(self, port: int, slow: SlowLog) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {token()}"}
        self._slow = slow

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        """Connected anew: while others were asked, the API may have closed the connection as an idle one."""
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


def _rewrites(client: "redis.Redis") -> bool:
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["rdb_bgsave_in_progress"])
