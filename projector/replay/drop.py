"""Deletes a generation without blocking Redis: key by key; Redis frees large values in a background thread."""

from collections.abc import Callable
from functools import partial
from typing import cast

import redis

from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.nodes import Nodes
from projector.store.opening import SLICE_KEYS


def delete_keys(nodes: Nodes, generation: Generation, retry: Retry, check: Callable[[], None]) -> int:
    """Returns the number of deleted keys. `check` is called between batches and may raise; a later call continues."""
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
    """Returns the next cursor, and the number of deleted keys."""
    with nodes.errors():
        next_cursor, keys = client.scan(cursor, match=f"og:{{{generation.number}.*", count=SLICE_KEYS)
        # A command each: in a cluster, one command cannot have keys of two shards.
        pipeline = client.pipeline(transaction=False)
        for key in cast(list[bytes], keys):
            pipeline.unlink(key)
        return next_cursor, sum(pipeline.execute())
