"""Deleting a generation without holding Redis: key by key, and what is large in Redis' own background thread."""

from collections.abc import Callable
from typing import cast

from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.opening import SLICE_KEYS


def delete_keys(nodes: Nodes, generation: Generation, check: Callable[[], None]) -> int:
    """Returns how many there were. `check` may raise between two slices: the rest may be deleted another time."""
    deleted = 0
    for client in nodes.all():
        cursor = None
        while cursor != 0:
            check()
            with nodes.errors():
                cursor, keys = client.scan(cursor or 0, match=f"og:{{{generation.number}.*", count=SLICE_KEYS)
                # One by one: those of two shards may not stand in one command of a cluster.
                pipeline = client.pipeline(transaction=False)
                for key in cast(list[bytes], keys):
                    pipeline.unlink(key)
                deleted += sum(pipeline.execute())
    return deleted
