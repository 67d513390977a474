"""Waiting for the generation that is ours to write: the successor of one that was sealed, or one of our version."""

import threading
from functools import partial

import structlog

from projector.health.watch import Watch
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.redis import Store

# How often a sealed generation is looked at for its successor, and one of another version for ours, in seconds.
SUCCESSOR_S = 0.02
STAND_BY_S = 1.0

log = structlog.get_logger("projector")


def await_successor(store: Store, sealed: Generation, retry: Retry, stop: threading.Event, watch: Watch) -> None:
    """A replay seals the generation, and moves the pointer once the new one has all that the old one has."""
    catalogue, seals_of = store.catalogue, partial(store.seals, sealed)
    while retry(catalogue.live) == sealed and any(seals := retry(seals_of)):
        # Who sealed it before nobody held the lease is gone; another one may seal it this very moment.
        if retry(catalogue.replay) is None:
            log.warning("the replay that sealed the generation is gone: going on in it", generation=sealed.number)
            retry(partial(store.unseal, sealed, seals))
        watch.pulse.turn()
        if stop.wait(SUCCESSOR_S):
            return


def stand_by(store: Store, retry: Retry, stop: threading.Event, watch: Watch) -> bool:
    """During a deployment two versions of the code run: the one that is not live leaves the log to the other.

    Returns whether a generation of ours, or none at all, has become live; False where `stop` was set before.
    """
    log.warning("another version is live: standing by until ours is again", ours=VERSION)
    with watch.standing_by():
        while not stop.wait(STAND_BY_S):
            live = retry(store.catalogue.live)
            if live is None or live.version == VERSION:
                return True
            watch.look(store, None)
    return False
