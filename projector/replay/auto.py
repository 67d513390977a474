"""`projector run --auto-replay`: builds the read model of a new version beside the live one, and switches to it."""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Event

import structlog

from events.logs.log import Log, Loss
from projector.errors import FatalError, StoreUnavailable
from projector.health.pulse import Pulse, RedisState
from projector.readmodel.schema.generations import Progress
from projector.readmodel.schema.keys import VERSION
from projector.replay.lease import Busy, Lease
from projector.replay.plan import make_plan
from projector.replay.replay import Replay
from projector.retry import Stopped, retry
from projector.store.nodes import Nodes
from projector.store.redis import Store

# How often progress is logged, in seconds.
LOG_EVERY_S = 5.0
# How often a waiting process checks whether another one has finished, in seconds.
CHECK_EVERY_S = 1.0

log = structlog.get_logger("projector")


class LogReporter:
    """A Reporter that logs, and keeps the pulse alive."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._logged_at_s = 0.0

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._pulse.turn()
        self._pulse.redis_state = RedisState(replay=Progress(step, sum(done), total))
        if time.monotonic() - self._logged_at_s >= LOG_EVERY_S:
            self._logged_at_s = time.monotonic()
            log.info("replay", step=step, done=sum(done), total=total)

    def message(self, text: str) -> None:
        log.info(text)


def bring_to_our_version(
    source: Log,
    nodes: Nodes,
    redis_url: str,
    stop: Event,
    accept_loss: Collection[Loss],
    data_dir: Path,
    environment: Mapping[str, str],
    pulse: Pulse,
    personal_data: bool = True,
) -> None:
    """Returns when the live generation is of this version, with this setting, or of a later one, or none is live.

    One of several processes builds, the others wait. Raises FatalError if the plan is refused, and Stopped.
    """
    catalogue = Store(nodes).catalogue

    def is_needed() -> bool:
        pulse.turn()
        live = retry(stop, catalogue.live, pulse)
        if live is None or live.version > VERSION:
            return False
        return live.version < VERSION or live.personal_data != personal_data

    while is_needed():
        try:
            with Lease(redis_url, "projector run --auto-replay") as lease:
                if not is_needed():
                    # The previous holder of the lease has done it.
                    return
                log.info("building this version beside the live one", version=VERSION)
                plan = make_plan(source, nodes, None, 1, accept_loss, force=False, personal_data=personal_data)
                if plan.refusals:
                    reasons = "; ".join(refusal.reason for refusal in plan.refusals)
                    raise FatalError(f"{reasons}. `projector replay plan` shows how to proceed")
                replay = Replay(source, nodes, lease, stop, LogReporter(pulse), True, pulse, personal_data)
                replay.build(plan.shards, plan.workers, data_dir, environment)
                report = replay.verify()
                log.info("compared with the live version", differences=report.differences)
                log.info("switched", generation=replay.switch(accept_differences=True).now.number)
        except (Busy, StoreUnavailable) as error:
            # Another process is building; or Redis failed before the first step, which would retry by itself.
            log.info("waiting to build this version", reason=str(error))
            if stop.wait(CHECK_EVERY_S):
                raise Stopped from error
