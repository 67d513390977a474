"""Checks that a log continues a generation from where that stands."""

from collections.abc import Sequence

from events.logs.log import Log, Partition
from projector.continuity import compare
from projector.errors import BadSetting, FatalError
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.status import lowest_positions
from projector.store.redis import Store


def check_log(log: Log, store: Store, generation: Generation, partitions: Sequence[Partition], retry: Retry) -> None:
    """Raises BadSetting for a generation that was made from another log, or from one that was put back since."""
    number = generation.number
    ours = retry(log.identity)
    if retry(lambda: store.bind_log(generation, ours)) != ours:
        raise BadSetting(
            f"generation {number} was made from another log, which {log.topic} is no more: "
            f"projector replay drop {number}"
        )
    for divergence in retry(lambda: compare(log, store, generation, partitions)).diverged:
        raise BadSetting(f"generation {number} was made from another log: {divergence}. projector replay drop {number}")


def must_follow(log: Log, store: Store, generation: Generation, partitions: list[Partition], retry: Retry) -> None:
    """Raises as `check_log`, and FatalError where the log has lost what comes next, or what came before."""
    check_log(log, store, generation, partitions, retry)
    number = generation.number
    reached = retry(lambda: lowest_positions(store.nodes, generation, partitions))
    first, end = retry(log.first), retry(log.end)
    for partition, at in reached.items():
        if 0 < at < first[partition]:
            raise FatalError(
                f"generation {number} stands at {partition}@{at}, but the log begins at {first[partition]}: what "
                f"lies between is gone. projector replay drop {number}, and build it from what there is"
            )
        if at > end[partition]:
            raise FatalError(
                f"generation {number} stands at {partition}@{at}, but the log ends at {end[partition]}: it was "
                f"truncated. projector replay drop {number}, and build it from what there is"
            )
