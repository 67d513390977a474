"""From one generation to another, with readers and the projector at work.

First the new one is brought up to the log, then the live one is sealed: its positions move no more, and the projector
waits. What it had applied by then is applied to the new one, and the pointer moves: readers use the new one from their
next request on, and the projector, which looks for its successor, goes on in it. Between seal and pointer lie some
milliseconds. Whoever dies there leaves a seal, which the projector lifts once the lease has expired.
"""

import time
from collections.abc import Mapping

from events.logs.log import Log, Partition
from projector.errors import FatalError
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.rebuild.parts import Positions
from projector.replay.lease import Lease
from projector.replay.reporter import Reporter
from projector.retry import Retry
from projector.store.redis import Store

# A new generation that lags behind the log by no more can be brought up to it within a moment, in events.
NEAR_EVENTS = 2_000
# How often it is brought up to the log before the seal; a publisher faster than we are would keep us for ever.
ROUNDS_MAX = 10
# How often the rewriting of append-only files is looked at, and how long it is waited for, in seconds.
LOOK_S = 0.1
FILES_S = 120.0


def go_over(log: Log, store: Store, builder: Builder, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Makes the generation of `builder` live. Raises FatalError; the live one then goes on as before."""
    generation, live = builder.generation, retry(store.catalogue.live)
    _await_files(store, lease, retry, reporter)
    _catch_up(log, builder, lease, retry, reporter)
    try:
        if live is not None:
            # So that a rollback finds it: the replay that made it live may have died before it did this.
            retry(lambda: store.catalogue.mark_live(live, lease.token))
            retry(lambda: store.seal(live, lease.token))
            builder.advance(retry(lambda: _reach(log, store, live, retry)))
        if live is not None and retry(lambda: store.seals(live)) != [lease.token] * live.shards:
            raise FatalError("the projector has taken us for dead, and gone on: do it again")
        retry(lambda: store.publish_end(generation, log.end()))
        retry(lambda: store.catalogue.point(live, generation, lease.token))
    except BaseException:
        if live is not None:
            store.unseal(live, [lease.token] * live.shards)
        raise
    retry(lambda: store.catalogue.mark_live(generation, lease.token))


def _await_files(store: Store, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Waits until no torn append-only file is left: another start of Redis could misread what was built. FILES_S at
    most: some servers can never rewrite it, and a rollback must be possible nevertheless.
    """
    deadline_s, said = time.monotonic() + FILES_S, False
    while waits := retry(store.rewrite_files):
        if not said:
            reporter.say(waits[0])
            said = True
        if time.monotonic() > deadline_s:
            reporter.say(f"going on after {FILES_S:.0f} s: until it is rewritten, do not start that Redis again")
            return
        lease.check()
        time.sleep(LOOK_S)


def _catch_up(log: Log, builder: Builder, lease: Lease, retry: Retry, reporter: Reporter) -> None:
    """Until the builder lags so little that the rest is a matter of moments."""
    builder.advance({})
    start = builder.positions
    for _ in range(ROUNDS_MAX):
        end = retry(log.end)
        total = _between(start, end)

        def tell(total: int = total) -> None:
            lease.check()
            reporter.progress("catch up", [_between(start, builder.positions)], total)

        left = _between(builder.positions, end)
        builder.advance(end, tell)
        if left <= NEAR_EVENTS:
            return


def _reach(log: Log, store: Store, live: Generation, retry: Retry) -> Positions:
    """What its farthest shard has applied, as far as the log has it."""
    end = retry(log.end)
    partitions = list(end)
    reached = dict.fromkeys(partitions, 0)
    for shard in range(live.shards):
        for partition, at in zip(partitions, store.positions(live, shard, partitions), strict=True):
            reached[partition] = min(max(reached[partition], at or 0), end[partition])
    return reached


def _between(start: Mapping[Partition, int], end: Mapping[Partition, int]) -> int:
    return sum(max(end[partition] - start[partition], 0) for partition in start)
