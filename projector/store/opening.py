"""Opens a shard for writing. Redis may have been emptied while a process knew of a generation that is gone since: what
that process has still written is not of the generation that got its number then, and may be of other shards.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, cast

from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes

SCRIPT = files(__package__).joinpath("opening.lua").read_text()
# How many keys one call looks at, and deletes, so that it takes well under 5 ms.
SLICE_KEYS = 500


def open_shard(nodes: Nodes, generation: Generation, shard: int, is_ours: Callable[[], bool]) -> None:
    """Returns without, if another generation of its number has it, and not `is_ours()`. May be called again after
    StoreUnavailable, and by several processes at a time.
    """
    keys = generation.keys(shard)

    def step(name: str, argument: str | bytes | int = "", *more: bytes) -> bytes | None:
        client: Any = nodes.of(keys.meta)
        with nodes.errors():
            told = client.eval(SCRIPT, 1 + len(more), keys.meta, *more, name, generation.nonce, argument)
        return cast(bytes | None, told)

    while (other := step("open", generation.version)) is not None:
        if not is_ours():
            return
        step("take", other)
        cursor = None
        while cursor != 0:
            with nodes.errors():
                found: Any = nodes.of(keys.meta).scan(cursor or 0, match=f"{keys.prefix}*", count=SLICE_KEYS)
            cursor, left = found
            if some := [key for key in left if key != keys.meta.encode()]:
                step("clear", "", *some)
        step("done")
