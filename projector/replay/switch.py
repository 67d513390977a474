"""Switches from the live generation to a new one while readers and projectors run.

First the new generation catches up with the log. Then the live one is sealed: it refuses commits, its positions stay,
and the projector waits. The new one catches up with exactly those positions, and the pointer moves. Readers use the new
one from their next request, and the projector finds it and continues there. Seal and pointer are some milliseconds
apart. If the process is killed between the two, the projector lifts the seal once the lease has expired.
"""

import time
from collections.abc import Mapping

from events.logs.log import Log, Partition
from projector.errors import FatalError
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder, Positions
from projector.replay.lease import Lease
from projector.replay.reporter import Reporter
from projector.retry import Retry
from projector.store.redis import Store

# With a lag of at most so many events, a new generation catches up within milliseconds.
NEAR_EVENTS = 2_000
# The rounds of catching up before the seal. A publisher that is faster than the builder must not delay it for ever.
ROUNDS_MAX = 10
# How often the rewriting of append-only files is checked, and how long it is waited for, in seconds.
CHECK_EVERY_S = 0.1
REWRITES_S = 120.0


def switch_to(log: Log, store: Store, builder: Builder, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Makes the generation of `builder` live. If it raises, such as FatalError, the former one stays live, unsealed."""
    generation, live = builder.generation, retry(store.catalogue.live)
    _wait_for_rewrites(store, lease, retry, reporter)
    _catch_up(log, builder, lease, retry, reporter)
    try:
        if live is not None:
            # For a rollback. The replay that made it live may have been killed before it did this.
            retry(lambda: store.catalogue.mark_live(live, lease.token))
            retry(lambda: store.seal(live, lease.token))
            builder.advance(retry(lambda: _farthest_positions(log, store, live, retry)))
        if live is not None and retry(lambda: store.seals(live)) != [lease.token] * live.shards:
            raise FatalError("the projector has lifted the seal, as after an expired lease: run the command again")
        retry(lambda: store.publish_end(generation, log.end()))
        retry(lambda: store.catalogue.point(live, generation, lease.token))
    except BaseException:
        if live is not None:
            store.unseal(live, [lease.token] * live.shards)
        raise
    retry(lambda: store.catalogue.mark_live(generation, lease.token))


def _wait_for_rewrites(store: Store, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Waits until no torn append-only file is left: a restart of Redis could misread what was built. At most
    REWRITES_S, since some servers can never rewrite the file, and a rollback must still be possible.
    """
    deadline_s, is_reported = time.monotonic() + REWRITES_S, False
    while waits := retry(store.rewrite_files):
        if not is_reported:
            reporter.message(waits[0])
            is_reported = True
        if time.monotonic() > deadline_s:
            reporter.message(
                f"continuing after {REWRITES_S:.0f} s: do not restart that Redis until its file is rewritten"
            )
            return
        lease.check()
        time.sleep(CHECK_EVERY_S)


def _catch_up(log: Log, builder: Builder, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Advances the builder until it lags by at most NEAR_EVENTS, or for ROUNDS_MAX rounds."""
    builder.advance({})
    start = builder.positions
    for _ in range(ROUNDS_MAX):
        end = retry(log.end)
        total = _count_between(start, end)

        def report(total: int = total) -> None:
            lease.check()
            reporter.progress("catch up", [_count_between(start, builder.positions)], total)

        left = _count_between(builder.positions, end)
        builder.advance(end, report)
        if left <= NEAR_EVENTS:
            return


def _farthest_positions(log: Log, store: Store, live: Generation, retry: Retry) -> Positions:
    """Returns the positions of the farthest shard of `live`, at most the end of the log."""
    end = retry(log.end)
    partitions = list(end)
    reached = dict.fromkeys(partitions, 0)
    for shard in range(live.shards):
        for partition, at in zip(partitions, store.positions(live, shard, partitions), strict=True):
            reached[partition] = min(max(reached[partition], at or 0), end[partition])
    return reached


def _count_between(start: Mapping[Partition, int], end: Mapping[Partition, int]) -> int:
    return sum(max(end[partition] - start[partition], 0) for partition in start)
