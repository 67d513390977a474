"""Waits for a generation that we may write: the successor of a sealed generation, or one of our version."""

import threading
from functools import partial

import structlog

from projector.health.watch import Watch
from projector.readmodel.schema.keys import VERSION, Generation
from projector.retry import Retry
from projector.store.redis import Store

# How often we check for the successor of a sealed generation, and for a generation of our version, in seconds.
SUCCESSOR_S = 0.02
STAND_BY_S = 1.0

log = structlog.get_logger("projector")


def await_successor(store: Store, sealed: Generation, retry: Retry, stop: threading.Event, watch: Watch) -> None:
    """Returns once a replay has switched to another generation, or the seal is lifted, or `stop` is set."""
    catalogue, seals_of = store.catalogue, partial(store.seals, sealed)
    while retry(catalogue.live) == sealed and any(seals := retry(seals_of)):
        # The lease is free, so the replay that set these seals has died. Only these are lifted: a new replay may be
        # setting its own.
        if retry(catalogue.replay) is None:
            log.warning("the replay that sealed the generation died: continuing in it", generation=sealed.number)
            retry(partial(store.unseal, sealed, seals))
        watch.pulse.turn()
        if stop.wait(SUCCESSOR_S):
            return


def stand_by(store: Store, retry: Retry, stop: threading.Event, watch: Watch) -> bool:
    """Waits while another version of the code, as during a deployment, owns the live generation.

    Returns True once a generation of our version, or none, is live; False if `stop` was set.
    """
    log.warning("another version is live: standing by until ours is live", ours=VERSION)
    with watch.standing_by():
        while not stop.wait(STAND_BY_S):
            live = retry(store.catalogue.live)
            if live is None or live.version == VERSION:
                return True
            watch.read_redis(store, None)
    return False
