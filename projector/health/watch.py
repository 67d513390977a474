"""Receives the reports of the main loop, and passes them to the pulse and the metrics."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from time import monotonic

from events.logs.log import Partition
from projector.health.metrics import Metrics
from projector.health.pulse import HELD_BACK_MAX_S, Pulse
from projector.health.redis_state import READ_EVERY_S, read_redis_state
from projector.project import Decoded
from projector.readmodel.schema.keys import Generation
from projector.retry import Beside
from projector.store.redis import Store


class Watch:
    """`lag_max`, `held_back_max_s`: as of Pulse."""

    def __init__(self, lag_max: int = 0, held_back_max_s: int = HELD_BACK_MAX_S) -> None:
        self.pulse = Pulse(lag_max, held_back_max_s)
        self.metrics = Metrics(self.pulse)
        self._read_at_s = float("-inf")
        self._beside = Beside("cannot read Redis for some metrics")

    def begin(self, oldest: Sequence[Decoded]) -> None:
        """Begins an iteration. `oldest`: the batch that waits if Redis becomes unavailable now."""
        self.pulse.turn()
        self.pulse.oldest = oldest

    def end(self, oldest: Sequence[Decoded], seconds: float | None) -> None:
        """`seconds`: duration of the iteration; None for one without records."""
        self.pulse.oldest = oldest
        if seconds is not None:
            self.metrics.worked(seconds)

    def mark(self, owned: AbstractSet[Partition] | None, positions: Mapping[Partition, int]) -> None:
        """`positions` may include partitions that are no longer ours."""
        self.pulse.mark(owned, {partition: at for partition, at in positions.items() if partition in (owned or ())})

    def leave(self) -> None:
        """The process has left the consumer group."""
        self.pulse.mark(None, {})
        self.pulse.oldest = ()

    @contextmanager
    def standing_by(self) -> Iterator[None]:
        self.pulse.standing_by = True
        try:
            yield
        finally:
            self.pulse.standing_by = False

    def read_redis(self, store: Store, generation: Generation | None) -> None:
        """Reads Redis for the metrics, at most every READ_EVERY_S. Logs errors instead of raising them."""
        self.pulse.turn()
        if monotonic() - self._read_at_s < READ_EVERY_S:
            return
        self._read_at_s = monotonic()
        with self._beside.logged():
            self.pulse.redis_state = read_redis_state(store, generation)
