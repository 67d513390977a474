"""Stores the state of a relay in Redis, once a second, so that the API can show it. The relay itself needs no Redis."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from threading import Event

import msgspec

from events.sources.watch import Watch
from projector.readmodel.schema.source import KEPT_MS, SOURCE, Source
from projector.retry import Beside, in_thread
from projector.store.nodes import Nodes

STORE_EVERY_S = 1.0
# How long a stopping relay waits for the end of a call, in seconds.
JOIN_S = 5.0


@contextmanager
def reporting_source(redis_url: str, mapping: str, watch: Watch) -> Iterator[None]:
    """Stores what `watch` has inside the `with` block, in a thread of its own."""
    with in_thread("report", partial(_run, redis_url, mapping, watch), JOIN_S):
        yield


def _run(redis_url: str, mapping: str, watch: Watch, stop: Event) -> None:
    beside = Beside("the console does not see this relay", needs_redis=False)
    with closing(Nodes(redis_url)) as nodes:
        while not stop.wait(STORE_EVERY_S):
            # One that stands by knows nothing, and leaves the word to the one that works.
            if not watch.works and watch.waiting is None:
                continue
            waits = watch.backlog
            found = Source(mapping, waits.notes, waits.bulk, round(waits.oldest_s, 1), tuple(watch.problems()))
            with beside.logged(), nodes.errors():
                nodes.of(SOURCE).set(SOURCE, msgspec.json.encode(found), px=KEPT_MS)
