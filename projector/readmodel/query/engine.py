"""Reads lists (see listing.py), single groups, and the state of the read model from Redis."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from math import inf
from typing import cast

from msgspec import Struct, structs
from redis.asyncio.connection import AbstractConnection

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.query import changes
from projector.readmodel.query.aggregates import NONE, nothing
from projector.readmodel.query.changes import Changes
from projector.readmodel.query.explain import Round
from projector.readmodel.query.export.reading import Some, read
from projector.readmodel.query.export.selection import Selection
from projector.readmodel.query.lua.scripts import END, ONE, SINCE
from projector.readmodel.query.mirror.mirrors import Mirrors
from projector.readmodel.query.page.listing import PREPARING_MAX, Answer, Listing
from projector.readmodel.query.plan import Nothing, Select, plan
from projector.readmodel.query.positions import (
    NOTHING_LIVE,
    Positions,
    Snapshot,
    events_behind,
    highest,
    offsets,
    snapshot,
)
from projector.readmodel.query.query import Query


class Found(Struct, frozen=True):
    """`record`: None if there is no such group."""

    record: bytes | None
    snapshot: Snapshot

    @property
    def positions(self) -> Positions:
        return self.snapshot.positions


class Lag(Struct, frozen=True):
    """`events` between what is served and the end of the log; `end_age_s`: seconds since the projector stored that end.
    Both are NaN where Redis is unavailable. `diverged`: whether the log holds other events than were applied.
    """

    events: float
    end_age_s: float
    diverged: bool = False


class Engine:
    """Methods raise Unavailable if Redis does not answer in time, ReadModelFault if the read model is inconsistent."""

    def __init__(
        self, redis_url: str, wait_ms: int, connections_max: int, ready_lag_max: int, ready_end_age_max_s: int = 0
    ) -> None:
        self._reader = Reader(redis_url, wait_ms, connections_max)
        self._mirrors = Mirrors(self._reader)
        self._mirroring: asyncio.Task[None] | None = None
        self._ready_lag_max = ready_lag_max
        self._ready_end_age_max_s = ready_end_age_max_s or inf
        preparing = asyncio.Semaphore(PREPARING_MAX)
        self._listing = partial(Listing, self._reader, self._mirrors, preparing, self._snapshot)
        # A cache: between two commits all answers have the same positions.
        self._last_positions: object = None
        self._last_live: ActiveGeneration | None = None
        self._last_snapshot = NOTHING_LIVE

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels on which commits to the live generation are published; empty while none is live."""
        live = self._reader.live
        return () if live is None else tuple(keys.stored for keys in live.shards)

    def connection(self, n: int) -> AbstractConnection:
        """Returns a new connection to a node, the n-th modulo the number of nodes; not connected yet."""
        return self._reader.connection(n)

    def start(self) -> None:
        """Begins to mirror the text that `q` searches. Until it is read, lists with `q` wait for it."""
        self._mirroring = asyncio.create_task(self._mirrors.run())

    async def mirror(self) -> None:
        """Mirrors the text once, instead of `start`. Raises Unavailable, ReadModelFault."""
        await self._mirrors.follow()

    async def close(self) -> None:
        if self._mirroring is not None:
            self._mirroring.cancel()
            await asyncio.gather(self._mirroring, return_exceptions=True)
        await self._reader.close()

    async def problem(self) -> str | None:
        """Returns why it is not ready; None if Redis answers, this release can read the live generation, the log has
        not diverged, the lag is within its limits, and the text that `q` searches was read once. Without `start` or
        `mirror`, it never is.

        The projector stores the end of the log every second. If it is stopped, the API stays ready, unless the age of
        the end is limited.
        """
        try:
            lag = await self.lag()
        except Unavailable as error:
            return str(error)
        live = self._reader.live
        if lag is None or live is None:
            return "no generation of the read model is live"
        if live.is_stale:
            return "the live generation has another version of the read model"
        if lag.diverged:
            return "the log differs from the records that were applied"
        if not self._mirrors.has_text:
            return "the text that q searches has not been read yet"
        if lag.events > self._ready_lag_max:
            return f"{lag.events:.0f} events behind, READY_LAG_MAX is {self._ready_lag_max}"
        if lag.end_age_s > self._ready_end_age_max_s:
            return (
                f"the end of the log is {lag.end_age_s:.0f} s old, READY_END_AGE_MAX_S is {self._ready_end_age_max_s}"
            )
        return None

    async def lag(self, wait_s: float | None = None) -> Lag | None:
        """Returns None while no generation is live. The age of an end that was never stored is infinite.

        `wait_s`: the time-out of each of two round trips; None: that of lists.
        """
        seen = await self._reader.read(_ends, END, self._reader.deadline_s(wait_s))
        if seen is None:
            return None
        ends = cast(list[tuple[list[bytes], bytes | None, int]], seen.values)
        end = highest([offsets(reply) for reply, _, _ in ends])
        age_s = min((int(age_ms) / 1000 for _, age_ms, _ in ends if age_ms is not None), default=inf)
        diverged = any(partitions for _, _, partitions in ends)
        return Lag(events_behind(end, (await self.snapshot(wait_s)).positions), max(age_s, 0.0), diverged)

    async def list(self, query: Query, steps: list[Round] | None = None) -> Answer:
        """`steps`, if given, is filled with the steps that were taken. Raises OtherGeneration and TooMuch, too."""
        chosen = plan(query)
        if isinstance(chosen, Nothing):
            return Answer(0, (), (), await self.snapshot(), counted=nothing(query.aggregates))
        found = await self._listing(query, chosen, steps).listed()
        return found or Answer(0, (), (), NOTHING_LIVE, counted=nothing(query.aggregates))

    async def select(self, query: Query) -> Selection:
        """Returns all groups that match, as of one snapshot. Limit, offset and order have no effect."""
        if isinstance(plan(query), Nothing):
            return Selection(0, (), None, await self.snapshot())
        whole = structs.replace(query, limit=0, offset=0, walks=False, mark=None, aggregates=NONE)
        return await self._listing(whole, Select(), None).selected() or Selection(0, (), None, NOTHING_LIVE)

    def read(self, selection: Selection, *, has_records: bool) -> AsyncGenerator[Some]:
        """Reads the groups of a selection: see reading.py."""
        return read(self._reader, selection, has_records=has_records)

    async def one(self, group_id: str) -> Found:
        record, reflected = await self._one("read", group_id)
        return Found(cast(bytes | None, record), reflected)

    async def contains(self, group_id: str) -> bool:
        """Whether there is such a group. Does not read it."""
        return (await self._one("look", group_id))[0] == 1

    async def snapshot(self, wait_s: float | None = None) -> Snapshot:
        """Returns what an answer would reflect now."""
        seen = await self._reader.read(_positions, None, self._reader.deadline_s(wait_s))
        return NOTHING_LIVE if seen is None else self._snapshot(seen.live, seen.values)

    async def changes(self, since: Sequence[changes.Commit] | None) -> Changes:
        """Returns what changed since those commits, one for each shard; None: only where the shards are now."""
        deadline_s = self._reader.deadline_s()
        seen = await self._reader.read(partial(changes.commands, since), SINCE, deadline_s)
        if seen is None:
            raise Unavailable("no generation is live yet")
        replies = cast(list[changes.Reply], seen.values)
        snapshot = self._snapshot(seen.live, [reply[0] for reply in replies])
        return changes.changes(seen.live, snapshot, since, replies)

    async def _one(self, command: str, group_id: str) -> tuple[object, Snapshot]:
        def commands_of(live: ActiveGeneration) -> Sequence[Command]:
            commands, number = _positions(live), live.generation.shard_of(group_id)
            keys = live.shards[number]
            commands[number] = ONE.call(keys, (keys.ordinal, keys.row, keys.record, keys.position), command, group_id)
            return commands

        seen = await self._reader.read(commands_of, ONE, self._reader.deadline_s())
        if seen is None:
            return None, NOTHING_LIVE
        values, number = list(seen.values), seen.live.generation.shard_of(group_id)
        values[number], found = cast(list[object], values[number])
        return found, self._snapshot(seen.live, values)

    def _snapshot(self, live: ActiveGeneration, positions: Sequence[object]) -> Snapshot:
        """`positions`: the position hash of each shard, field and value in turn."""
        if positions != self._last_positions or live is not self._last_live:
            try:
                self._last_snapshot = snapshot(live.name, cast(Sequence[list[bytes]], positions))
            except ValueError as error:
                key = live.shards[0].position
                raise ReadModelFault(f"{key} and the like: expected offsets, found {positions!r:.200}") from error
            self._last_positions, self._last_live = positions, live
        return self._last_snapshot


def _ends(live: ActiveGeneration) -> list[Command]:
    return [END.call(keys, (keys.end, keys.end_at, keys.diverged)) for keys in live.shards]


def _positions(live: ActiveGeneration) -> list[Command]:
    return [("HGETALL", keys.position) for keys in live.shards]
