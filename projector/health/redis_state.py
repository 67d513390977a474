"""Reads the state in Redis that metrics show: generations, parked events, a running replay."""

from collections import Counter

from projector.health.pulse import RedisState
from projector.readmodel.schema.generations import DEAD_LETTERS_DUE, PAUSED, Progress, State, state_of
from projector.readmodel.schema.keys import Generation
from projector.replay.lease import progress_of
from projector.store import memory
from projector.store.redis import Store

# How often `Watch` reads the state, in seconds.
READ_EVERY_S = 2.0


def read_redis_state(store: Store, generation: Generation | None) -> RedisState:
    """`generation`: the one that this projector writes. Raises StoreUnavailable."""
    live = store.catalogue.live()
    found = Counter(state_of(entry, live) for entry in store.catalogue.listed())
    states = {name: found[name] for name in ("live", "kept", *(str(s) for s in State if s is not State.READY))}
    with store.nodes.errors():
        paused = store.nodes.of(PAUSED).hlen(PAUSED)
        due = store.nodes.of(DEAD_LETTERS_DUE).scard(DEAD_LETTERS_DUE)
    return RedisState(
        generation=generation.number if generation else None,
        parked=_parked(store, live),
        paused=paused,
        dead_letters_due=due,
        memory=memory.filled(store.nodes),
        states=states,
        replay=_replay(store),
    )


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
