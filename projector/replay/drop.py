"""Deleting a generation without holding Redis: key by key, and what is large in Redis' own background thread."""

from collections.abc import Callable
from functools import partial
from typing import cast

import redis

from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.nodes import Nodes
from projector.store.opening import SLICE_KEYS


def delete_keys(nodes: Nodes, generation: Generation, retry: Retry, check: Callable[[], None]) -> int:
    """Returns how many there were. `check` may raise between two slices: the rest may be deleted another time."""
    deleted = 0
    for client in retry(nodes.all):
        cursor = 0
        while True:
            check()
            cursor, found = retry(partial(_delete_some, nodes, client, generation, cursor))
            deleted += found
            if cursor == 0:
                break
    return deleted


def _delete_some(nodes: Nodes, client: "redis.Redis", generation: Generation, cursor: int) -> tuple[int, int]:
    """The next cursor, and how many keys were deleted."""
    with nodes.errors():
        following, keys = client.scan(cursor, match=f"og:{{{generation.number}.*", count=SLICE_KEYS)
        # One by one: those of two shards may not stand in one command of a cluster.
        pipeline = client.pipeline(transaction=False)
        for key in cast(list[bytes], keys):
            pipeline.unlink(key)
        return following, sum(pipeline.execute())
