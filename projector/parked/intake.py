"""Between log and pipeline: decodes, pauses partitions with too many parked records, produces dead letters."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from events.logs.log import Partition, Position, Record, Subscription
from projector.errors import StoreUnavailable
from projector.parked.cap import Cap, Limits
from projector.parked.dead_letters import DeadLetters
from projector.parked.poison_pills import PoisonPills
from projector.passed_over import PassedOver
from projector.pipeline import Pipeline
from projector.project import Decoded
from projector.readmodel.schema.keys import Generation
from projector.retry import retry
from projector.store.redis import Store


class Intake:
    """All methods raise Stopped."""

    def __init__(self, store: Store, stop: threading.Event, limits: Limits, dead_letters: DeadLetters | None) -> None:
        self._cap = Cap(store, limits, partial(retry, stop))
        self._poison_pills = PoisonPills(store, partial(retry, stop))
        self._passed_over = PassedOver(store)
        self.dead_letters = dead_letters

    @property
    def parked_bytes(self) -> Mapping[Partition, int]:
        """By partition, as of the last `refresh`."""
        return self._cap.bytes

    def prepare(self) -> None:
        if self.dead_letters is not None:
            self.dead_letters.prepare()

    def on_parked(self, parked: Mapping[str, bytes]) -> None:
        """`parked`: records of a commit that the pipeline is about to send."""
        if self.dead_letters is not None:
            self.dead_letters.produce(parked)

    def start(self, pipeline: Pipeline, partitions: Sequence[Partition]) -> None:
        """Reading of `partitions` begins at the pipeline's positions."""
        self._cap.start(pipeline.generation, partitions)
        positions = {partition: pipeline.lowest(partition) for partition in partitions}
        self._poison_pills.start(pipeline.generation, positions)
        self._passed_over.start()

    def take(
        self, pipeline: Pipeline, batch: Sequence[Record], subscription: Subscription
    ) -> Iterator[Sequence[Decoded]]:
        """Yields parts of the batch. Push each part before taking the next. Raises as Pipeline.flush."""

        def flushed() -> Generation:
            pipeline.flush()
            return pipeline.generation

        for decoded in self._poison_pills.decode(batch, pipeline.flush, self._cap.paused):
            self._passed_over.note(decoded)
            before = len(self._cap.paused)
            admitted = self._cap.admit(decoded, flushed)
            if len(self._cap.paused) > before:
                for partition in self._cap.paused:
                    subscription.pause(partition)
                    self._poison_pills.clear(partition)
            yield admitted

    def refresh(self, pipeline: Pipeline, subscription: Subscription) -> None:
        """Resumes paused partitions and retries dead letters; called periodically. Raises as Pipeline.flush."""
        if self._cap.paused:
            pipeline.flush()
        for partition in self._cap.refresh(pipeline.generation):
            if partition in pipeline.partitions:
                subscription.seek(Position(partition, pipeline.lowest(partition)))
        if self.dead_letters is not None:
            with suppress(StoreUnavailable):
                self.dead_letters.retry_noted(pipeline.generation)

    def revoke(self, partitions: Collection[Partition]) -> None:
        """Another member reads `partitions` from here on."""
        self._cap.revoke(partitions)
        self._poison_pills.revoke(partitions)

    def end(self) -> None:
        self._poison_pills.end()
