"""What Redis knows beside the positions: generations, parked events, a replay. Looked at every few seconds."""

from collections import Counter

from projector.health.pulse import Seen
from projector.readmodel.schema.generations import Progress, State
from projector.readmodel.schema.keys import Generation
from projector.replay.lease import progress_of
from projector.store.redis import Store

# In seconds.
LOOK_EVERY_S = 2.0


def look(store: Store, generation: Generation | None) -> Seen:
    """`generation`: the one we write. Raises StoreUnavailable."""
    live = store.catalogue.live()
    found = Counter(
        "live" if entry.generation == live else "kept" if entry.state is State.READY else str(entry.state)
        for entry in store.catalogue.listed()
    )
    states = {name: found[name] for name in ("live", "kept", *(str(s) for s in State if s is not State.READY))}
    return Seen(generation.number if generation else None, _parked(store, live), states, _replay(store))


def _parked(store: Store, live: Generation | None) -> int:
    found = 0
    for shard in range(live.shards if live else 0):
        assert live is not None
        key = live.keys(shard).parked
        with store.nodes.errors():
            found += store.nodes.of(key).hlen(key)
    return found


def _replay(store: Store) -> Progress | None:
    held = store.catalogue.replay()
    return None if held is None else progress_of(held)
