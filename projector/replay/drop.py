"""Deleting a generation without holding Redis: key by key, and what is large in Redis' own background thread."""

from typing import cast

from projector.readmodel.keys import Generation
from projector.store.nodes import Nodes

# How many keys one call looks at, and deletes, so that it takes well under 5 ms.
SLICE_KEYS = 500


def delete_keys(nodes: Nodes, generation: Generation) -> int:
    """Returns how many there were. May be done again, after having been cut off."""
    deleted = 0
    for client in nodes.all():
        cursor = None
        while cursor != 0:
            with nodes.errors():
                cursor, keys = client.scan(cursor or 0, match=f"og:{{{generation.number}.*", count=SLICE_KEYS)
                # One by one: those of two shards may not stand in one command of a cluster.
                pipeline = client.pipeline(transaction=False)
                for key in cast(list[bytes], keys):
                    pipeline.unlink(key)
                deleted += sum(pipeline.execute())
    return deleted
