"""Checks that the log continues a generation from its positions."""

from collections.abc import Sequence

from events.logs.log import Log, Partition
from projector.continuity import compare
from projector.errors import BadSetting, FatalError
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.status import lowest_positions
from projector.store.redis import Store


def check_same_log(
    log: Log, store: Store, generation: Generation, partitions: Sequence[Partition], retry: Retry
) -> None:
    """Raises BadSetting if the generation was built from another log, or from records that the log no longer has."""
    number = generation.number
    log_id = retry(log.identity)
    if retry(lambda: store.bind_log(generation, log_id)) != log_id:
        raise BadSetting(
            f"generation {number} was built from another log, which {log.topic} has replaced: "
            f"projector replay drop {number}"
        )
    for divergence in retry(lambda: compare(log, store, generation, partitions)).diverged:
        raise BadSetting(
            f"generation {number} was built from another log: {divergence}. projector replay drop {number}"
        )


def check_log_continues(
    log: Log, store: Store, generation: Generation, partitions: list[Partition], retry: Retry
) -> None:
    """Raises as `check_same_log`, and FatalError if the log begins after the generation's positions or ends before."""
    check_same_log(log, store, generation, partitions, retry)
    number = generation.number
    reached = retry(lambda: lowest_positions(store.nodes, generation, partitions))
    first, end = retry(log.first), retry(log.end)
    for partition, at in reached.items():
        if 0 < at < first[partition]:
            raise FatalError(
                f"generation {number} is at {partition}@{at}, but the log begins at {first[partition]}: the events "
                f"between are lost. projector replay drop {number}, then build a new one"
            )
        if at > end[partition]:
            raise FatalError(
                f"generation {number} is at {partition}@{at}, but the log ends at {end[partition]}: it was "
                f"truncated. projector replay drop {number}, then build a new one"
            )
