"""`projector run --auto-replay`: a new version of the code makes its read model beside the one that is served."""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Event

import structlog

from events.logs.log import Log, Loss
from projector.errors import FatalError, StoreUnavailable
from projector.health.pulse import Pulse, RedisState
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.generations import Progress
from projector.replay.lease import Busy, Lease
from projector.replay.plan import make_plan
from projector.replay.replay import Replay
from projector.retry import Stopped, retry
from projector.store.nodes import Nodes
from projector.store.redis import Store

# How often progress is told, in seconds.
TELL_EVERY_S = 5.0
# How often is looked whether another process has finished what we would do, in seconds.
LOOK_S = 1.0

log = structlog.get_logger("projector")


class Logging:
    """A Reporter, and a sign of life."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._told_at_s = 0.0

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._pulse.turn()
        self._pulse.redis_state = RedisState(replay=Progress(step, sum(done), total))
        if time.monotonic() - self._told_at_s >= TELL_EVERY_S:
            self._told_at_s = time.monotonic()
            log.info("replay", step=step, done=sum(done), total=total)

    def say(self, text: str) -> None:
        log.info("replay", told=text)


def bring_to_our_version(
    source: Log,
    nodes: Nodes,
    redis_url: str,
    stop: Event,
    accept_loss: Collection[Loss],
    data_dir: Path,
    environment: Mapping[str, str],
    pulse: Pulse,
) -> None:
    """Returns when what is live, if anything, is of our version, or of a later one, which we leave alone.

    Of several processes one builds, the others wait.
    Raises FatalError where the plan is refused, Stopped.
    """
    catalogue = Store(nodes).catalogue

    def is_needed() -> bool:
        pulse.turn()
        live = retry(stop, catalogue.live, pulse)
        return live is not None and live.version < VERSION

    while is_needed():
        try:
            with Lease(redis_url, "projector run --auto-replay") as lease:
                if not is_needed():
                    # Who held the lease before has done it.
                    return
                log.info("building our version beside the live one", ours=VERSION)
                plan = make_plan(source, nodes, None, 1, accept_loss, force=False)
                if plan.refusals:
                    reasons = "; ".join(refusal.reason for refusal in plan.refusals)
                    raise FatalError(f"{reasons}. projector replay says how to go on")
                replay = Replay(source, nodes, lease, stop, Logging(pulse), park=True, watch=pulse)
                replay.build(plan.shards, plan.workers, data_dir, environment)
                report = replay.verify()
                log.info("compared with the live version", differences=report.differences)
                log.info("switched", generation=replay.switch(accept_differences=True).now.number)
        except (Busy, StoreUnavailable) as error:
            # Another process is at it; or Redis does not answer one of the looks before the first step.
            log.info("waiting", reason=str(error))
            if stop.wait(LOOK_S):
                raise Stopped from error
