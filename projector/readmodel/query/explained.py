"""How a list is answered, and how long that takes: for `projector explain`."""

import time
from statistics import median

from msgspec import Struct

from projector.readmodel.query.engine import Engine
from projector.readmodel.query.explain import Round
from projector.readmodel.query.plan import PlanTaken
from projector.readmodel.query.query import Query


class Explained(Struct, frozen=True):
    """`positions`: what was reflected; empty where nothing is live.

    `rounds`: the calls of all shards, one after the other. Times are medians of `times` runs, in milliseconds, with
    all round trips: `list_ms` of the list, `floor_ms` of a call that reads next to nothing.
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
    """Raises Unavailable and ReadModelFault."""
    # Whether it is ready is not asked.
    engine = Engine(redis_url, wait_ms, connections_max=1, ready_lag_max=0)
    try:
        rounds: list[Round] = []
        answer = await engine.list(query, rounds)
        lists, floors = [], []
        for _ in range(times):
            start_s = time.perf_counter()
            await engine.list(query)
            middle_s = time.perf_counter()
            await engine.now()
            lists.append(middle_s - start_s)
            floors.append(time.perf_counter() - middle_s)
    finally:
        await engine.close()
    rows = max(0, min(query.limit, answer.count - query.offset))
    return Explained(
        answer.plan,
        dict(answer.positions),
        rounds,
        answer.count,
        rows,
        times,
        round(median(lists) * 1000, 3),
        round(median(floors) * 1000, 3),
    )
