"""Between the log and the pipeline: what is decoded how, what has to wait, and who is told of what is parked."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from events.logs.log import Partition, Position, Record, Subscription
from projector.errors import StoreUnavailable
from projector.parked.cap import Cap, Limits
from projector.parked.dead_letters import DeadLetters
from projector.parked.poison_pills import PoisonPills
from projector.pipeline import Pipeline
from projector.project import Decoded
from projector.readmodel.schema.keys import Generation
from projector.retry import retry
from projector.store.redis import Store


class Intake:
    """Every method raises Stopped."""

    def __init__(self, store: Store, stop: threading.Event, limits: Limits, dead_letters: DeadLetters | None) -> None:
        self._cap = Cap(store, limits, partial(retry, stop))
        self._poison_pills = PoisonPills(store, partial(retry, stop))
        self.dead_letters = dead_letters

    @property
    def parked_bytes(self) -> Mapping[Partition, int]:
        """As of the last `look`."""
        return self._cap.bytes

    def prepare(self) -> None:
        if self.dead_letters is not None:
            self.dead_letters.prepare()

    def tell(self, parked: Mapping[str, bytes]) -> None:
        """Of what the pipeline is about to commit."""
        if self.dead_letters is not None:
            self.dead_letters.tell(parked)

    def start(self, pipeline: Pipeline, partitions: Sequence[Partition]) -> None:
        """They are read from where the pipeline stands."""
        self._cap.start(pipeline.generation, partitions)
        positions = {partition: pipeline.lowest(partition) for partition in partitions}
        self._poison_pills.start(pipeline.generation, positions)

    def take(
        self, pipeline: Pipeline, batch: Sequence[Record], subscription: Subscription
    ) -> Iterator[Sequence[Decoded]]:
        """Parts of the batch, each to be pushed before the next one is asked for. Raises as Pipeline.flush."""

        def flushed() -> Generation:
            pipeline.flush()
            return pipeline.generation

        for decoded in self._poison_pills.decode(batch, pipeline.flush, self._cap.paused):
            before = len(self._cap.paused)
            admitted = self._cap.admit(decoded, flushed)
            if len(self._cap.paused) > before:
                for partition in self._cap.paused:
                    subscription.pause(partition)
                    self._poison_pills.acquit(partition)
            yield admitted

    def look(self, pipeline: Pipeline, subscription: Subscription) -> None:
        """Once in a while. Raises as Pipeline.flush."""
        if self._cap.paused:
            pipeline.flush()
        for partition in self._cap.look(pipeline.generation):
            if partition in pipeline.partitions:
                subscription.seek(Position(partition, pipeline.lowest(partition)))
        if self.dead_letters is not None:
            with suppress(StoreUnavailable):
                self.dead_letters.again(pipeline.generation)

    def leave(self, partitions: Collection[Partition]) -> None:
        """They are read by somebody else."""
        self._cap.leave(partitions)
        self._poison_pills.leave(partitions)

    def end(self) -> None:
        self._poison_pills.end()
