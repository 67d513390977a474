"""Measures how a list is answered: plan, steps and times, for `projector explain`."""

import time
from statistics import median

from msgspec import Struct

from projector.readmodel.query.engine import Engine
from projector.readmodel.query.explain import Round
from projector.readmodel.query.plan import PlanTaken
from projector.readmodel.query.query import Query


class Explained(Struct, frozen=True):
    """`positions`: what the list reflected, empty while no generation is live. `rounds`: calls of all shards in order.

    `list_ms`, `floor_ms`: the time of the list, and of a call that reads positions only; medians of `times` runs, in
    milliseconds, with all round trips.
    """

    plan: PlanTaken
    positions: dict[str, int]
    rounds: list[Round]
    count: int
    rows: int
    times: int
    list_ms: float
    floor_ms: float


async def explained(redis_url: str, query: Query, times: int, wait_ms: int) -> Explained:
    """Raises Unavailable, ReadModelFault, OtherGeneration and TooMuch."""
    engine = Engine(redis_url, wait_ms, connections_max=1, ready_lag_max=0)
    try:
        rounds: list[Round] = []
        if query.needle:
            await engine.mirror()
        answer = await engine.list(query, rounds)
        lists, floors = [], []
        for _ in range(times):
            start_s = time.perf_counter()
            await engine.list(query)
            middle_s = time.perf_counter()
            await engine.snapshot()
            lists.append(middle_s - start_s)
            floors.append(time.perf_counter() - middle_s)
    finally:
        await engine.close()
    return Explained(
        answer.plan,
        dict(answer.positions),
        rounds,
        answer.count,
        len(answer.rows),
        times,
        round(median(lists) * 1000, 3),
        round(median(floors) * 1000, 3),
    )
