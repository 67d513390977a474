"""Opens a shard for writing.

If Redis was emptied, a new generation may reuse a number while a process still writes the old one. The shard's keys may
then belong to the old generation, and are cleared.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, cast

from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes

SCRIPT = files(__package__).joinpath("lua/opening.lua").read_text()
# Keys scanned and deleted per call, so that it takes well under 5 ms.
SLICE_KEYS = 500


def open_shard(nodes: Nodes, generation: Generation, shard: int, is_ours: Callable[[], bool]) -> None:
    """Opens the shard, unless another generation of that number has it and `is_ours()` is false.

    May be called again after StoreUnavailable, and by several processes at a time.
    """
    keys = generation.keys(shard)

    def step(name: str, argument: str | bytes | int = "", *more: bytes) -> bytes | None:
        client: Any = nodes.of(keys.meta)
        with nodes.errors():
            answer = client.eval(SCRIPT, 1 + len(more), keys.meta, *more, name, generation.nonce, argument)
        return cast(bytes | None, answer)

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
