"""All that the loop says of itself, in one place: what is counted, and what is judged."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from time import monotonic

import structlog

from events.logs.log import Partition
from projector.errors import CannotGoOn, StoreUnavailable
from projector.health.look import LOOK_EVERY_S, look
from projector.health.metrics import Metrics
from projector.health.pulse import HELD_BACK_MAX_S, Pulse
from projector.project import Decoded
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.schema.keys import Generation
from projector.store.redis import Store

log = structlog.get_logger("projector")


class Watch:
    """`lag_max`, `held_back_max_s`: as Pulse has them."""

    def __init__(self, lag_max: int = 0, held_back_max_s: int = HELD_BACK_MAX_S) -> None:
        self.pulse = Pulse(lag_max, held_back_max_s)
        self.metrics = Metrics(self.pulse)
        self._looked_at_s = float("-inf")
        # Why the last look failed.
        self._blinded = ""

    def begin(self, oldest: Sequence[Decoded]) -> None:
        """A turn of the loop. `oldest`: the batch that waits if Redis is away from here on."""
        self.pulse.turn()
        self.pulse.oldest = oldest

    def end(self, oldest: Sequence[Decoded], seconds: float | None) -> None:
        """`seconds`: how long the turn took, where it had records."""
        self.pulse.oldest = oldest
        if seconds is not None:
            self.metrics.worked(seconds)

    def mark(self, owned: AbstractSet[Partition] | None, positions: Mapping[Partition, int]) -> None:
        """`positions`: also of partitions that were ours once."""
        self.pulse.mark(owned, {partition: at for partition, at in positions.items() if partition in (owned or ())})

    def leave(self) -> None:
        """The group that shares the log."""
        self.pulse.mark(None, {})
        self.pulse.oldest = ()

    @contextmanager
    def standing_by(self) -> Iterator[None]:
        self.pulse.standing_by = True
        try:
            yield
        finally:
            self.pulse.standing_by = False

    def look(self, store: Store, generation: Generation | None) -> None:
        """Every few seconds, however often it is called. Nothing depends on what is seen, so nothing is raised."""
        self.pulse.turn()
        if monotonic() - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = monotonic()
        try:
            self.pulse.seen = look(store, generation)
        except (StoreUnavailable, CannotGoOn) as error:
            if isinstance(error, StoreUnavailable) and error.refusal != Refusal.OTHER:
                # Whoever needs Redis now says so.
                return
            if str(error) != self._blinded:
                log.warning("some metrics stand still", reason=str(error))
            self._blinded = str(error)
        else:
            self._blinded = ""
