"""Asks the read model: for a list (see listing.py), for one group, for what is reflected."""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import cast

from msgspec import Struct
from redis.asyncio.connection import AbstractConnection

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.explain import Round
from projector.readmodel.query.lua.scripts import END, ONE
from projector.readmodel.query.page.listing import PREPARING_MAX, Listing
from projector.readmodel.query.plan import Nothing, PlanTaken, plan
from projector.readmodel.query.positions import NOTHING_LIVE, Instant, Positions, highest, instant, lag, offsets
from projector.readmodel.query.query import Query


class Answer(Struct, frozen=True):
    """`documents`: JSON objects, the default fields or whole documents, as the query asks."""

    count: int
    documents: Sequence[bytes]
    instant: Instant
    plan: PlanTaken = PlanTaken.NOTHING

    @property
    def rows(self) -> bytes:
        """The documents joined by commas."""
        return b",".join(self.documents)

    @property
    def positions(self) -> Positions:
        return self.instant.positions


class Found(Struct, frozen=True):
    """`document`: whole, as it is stored; None if there is no such group."""

    document: bytes | None
    instant: Instant

    @property
    def positions(self) -> Positions:
        return self.instant.positions


class Behind(Struct, frozen=True):
    """`lag`: events between the log's end and what is served. `end_age_s`: how long ago the projector told that end.
    Both are NaN where Redis does not say. `diverged`: whether the log holds other events than those that are served.
    """

    lag: float
    end_age_s: float
    diverged: bool = False


class Engine:
    """Raises Unavailable when Redis does not answer in time, ReadModelFault when it contradicts itself."""

    def __init__(
        self, redis_url: str, wait_ms: int, connections_max: int, ready_lag_max: int, ready_end_age_max_s: int = 0
    ) -> None:
        self._reader = Reader(redis_url, wait_ms, connections_max)
        self._ready_lag_max = ready_lag_max
        self._preparing = asyncio.Semaphore(PREPARING_MAX)
        self._ready_end_age_max_s = ready_end_age_max_s or inf
        # Between two commits every answer reflects the same.
        self._last_positions: object = None
        self._last_live: ActiveGeneration | None = None
        self._last_instant = NOTHING_LIVE

    @property
    def channels(self) -> tuple[str, ...]:
        """Where commits to the shards that we read are told; empty as long as nothing is live."""
        live = self._reader.live
        return () if live is None else tuple(keys.stored for keys in live.shards)

    def connection(self, n: int) -> AbstractConnection:
        """One's own, to some node, another one for each n: not connected yet."""
        return self._reader.connection(n)

    async def close(self) -> None:
        await self._reader.close()

    async def ready(self) -> bool:
        """Whether Redis answers, and the live generation can be read, holds what the log holds, and lags behind the
        log's end by no more than it may.

        The projector tells that end every second. One that is away tells nothing: what it left is served on, unless
        there is a bound for the age of the end.
        """
        try:
            behind = await self.behind()
        except Unavailable:
            return False
        live = self._reader.live
        if behind is None or behind.diverged or live is None or live.is_stale:
            return False
        return behind.lag <= self._ready_lag_max and behind.end_age_s <= self._ready_end_age_max_s

    async def behind(self, wait_s: float | None = None) -> Behind | None:
        """None where nothing is live. An end that nobody told yet is infinitely old. `wait_s`: for each of two round
        trips, instead of what lists may take.
        """
        seen = await self._reader.read(_ends, END, self._reader.deadline_s(wait_s))
        if seen is None:
            return None
        told = cast(list[tuple[list[bytes], bytes | None, int]], seen.values)
        end = highest([offsets(reply) for reply, _, _ in told])
        age_s = min((int(age_ms) / 1000 for _, age_ms, _ in told if age_ms is not None), default=inf)
        diverged = any(partitions for _, _, partitions in told)
        return Behind(lag(end, (await self.now(wait_s)).positions), max(age_s, 0.0), diverged)

    async def list(self, query: Query, steps: list[Round] | None = None) -> Answer:
        """`steps`, if given, gets what is done for it."""
        chosen = plan(query)
        if isinstance(chosen, Nothing):
            return Answer(0, (), await self.now())
        found = await Listing(self._reader, self._preparing, query, chosen, steps).listed()
        if found is None:
            return Answer(0, (), NOTHING_LIVE)
        return Answer(found.count, found.documents, self._instant(found.live, found.positions), found.plan)

    async def one(self, group_id: str) -> Found:
        document, instant = await self._one("read", group_id)
        return Found(cast(bytes | None, document), instant)

    async def holds(self, group_id: str) -> bool:
        """Whether there is such a group, without reading it."""
        return (await self._one("look", group_id))[0] == 1

    async def now(self, wait_s: float | None = None) -> Instant:
        """What an answer would reflect."""
        seen = await self._reader.read(_positions, None, self._reader.deadline_s(wait_s))
        return NOTHING_LIVE if seen is None else self._instant(seen.live, seen.values)

    async def _one(self, command: str, group_id: str) -> tuple[object, Instant]:
        def commands(live: ActiveGeneration) -> Sequence[Command]:
            asked, number = _positions(live), live.generation.shard_of(group_id)
            keys = live.shards[number]
            asked[number] = ONE.call(keys, (keys.row, keys.rest, keys.position), command, group_id)
            return asked

        seen = await self._reader.read(commands, ONE, self._reader.deadline_s())
        if seen is None:
            return None, NOTHING_LIVE
        values, number = list(seen.values), seen.live.generation.shard_of(group_id)
        values[number], document = cast(list[object], values[number])
        return document, self._instant(seen.live, values)

    def _instant(self, live: ActiveGeneration, positions: Sequence[object]) -> Instant:
        """`positions`: the hash of each shard, name and offset by turns."""
        if positions != self._last_positions or live is not self._last_live:
            try:
                self._last_instant = instant(live.name, cast(Sequence[list[bytes]], positions))
            except ValueError as error:
                names = live.shards[0].position
                raise ReadModelFault(f"{names} and the like: expected offsets, found {positions!r:.200}") from error
            self._last_positions, self._last_live = positions, live
        return self._last_instant


def _ends(live: ActiveGeneration) -> list[Command]:
    return [END.call(keys, (keys.end, keys.end_at, keys.diverged)) for keys in live.shards]


def _positions(live: ActiveGeneration) -> list[Command]:
    return [("HGETALL", keys.position) for keys in live.shards]
