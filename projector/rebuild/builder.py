"""Lets a generation that is built catch up with the log, by the same commits as `projector run`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from events.logs.log import Log, Partition, Reader, Record
from projector.batches import batches
from projector.control import Closed, Rejoin, Rewind
from projector.errors import FatalError, GenerationLost
from projector.pipeline import Pipeline
from projector.project import Decoded, decode_record
from projector.readmodel.schema.keys import Generation
from projector.rebuild.poison import refuse
from projector.rebuild.windows import POLL_RECORDS, POLL_S
from projector.retry import Retry
from projector.store.redis import Store

Positions = Mapping[Partition, int]


class Builder:
    """Folds the given partitions. `park`: park events that break the contract, else raise PoisonEvent."""

    def __init__(
        self,
        log: Log,
        store: Store,
        generation: Generation,
        partitions: Sequence[Partition],
        retry: Retry,
        park: bool = False,
    ) -> None:
        self.generation = generation
        self.log = log
        self.retry = retry
        self._store = store
        self._partitions = partitions
        self._park = park
        self._pipeline: Pipeline | None = None
        self._reader: Reader | None = None
        self._poison_pills: Collection[str] = ()

    @property
    def positions(self) -> dict[Partition, int]:
        """What every shard has stored; read from Redis by `advance`."""
        return {p: self._pipeline.lowest(p) if self._pipeline else 0 for p in self._partitions}

    def advance(
        self,
        stop: Positions,
        after_window: Callable[[], None] = lambda: None,
        before_window: Callable[[Collection[str]], None] = lambda ids: None,
    ) -> None:
        """Returns when the generation reflects the log up to `stop`, or up to where it is already if that is later.

        `before_window` is called with the group ids of some events before these are written, `after_window` afterwards.
        Raises PoisonEvent, LogGap, FatalError.
        """
        unknown = [str(partition) for partition in stop if partition not in self._partitions]
        if unknown:
            raise FatalError(f"the log has new partitions, such as {unknown[0]}: run the command again")
        while True:
            try:
                pipeline, reader = self._start()
                # A reader's positions also pass offsets that have no record.
                while any(offset > reader.positions[partition] for partition, offset in stop.items()):
                    records = self.retry(partial(reader.poll, POLL_S, POLL_RECORDS, stop))
                    decoded = [list(map(self._decode, batch)) for batch in batches(records)]
                    before_window({item.event.group_id for batch in decoded for item in batch if item.event})
                    for batch in decoded:
                        pipeline.push(batch)
                    pipeline.flush()
                    after_window()
                return
            except (Rewind, Rejoin):
                self.close()
                if not self.retry(lambda: self._store.is_open(self.generation)):
                    raise GenerationLost(self.generation.number) from None
            except Closed:
                self.close()
                raise FatalError(f"generation {self.generation.number} was sealed while it was written") from None
            except BaseException:
                # What was read may be neither stored nor still to be read: the next call starts anew.
                self.close()
                raise

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.discard()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _decode(self, record: Record) -> Decoded:
        return decode_record(record, self._poison_pills, personal_data=self.generation.personal_data)

    def _start(self) -> tuple[Pipeline, Reader]:
        if self._pipeline is None or self._reader is None:
            # Before writing: the next start of Redis could misread what is appended to a torn file.
            self.retry(self._store.rewrite_files)
            self._poison_pills = self.retry(lambda: self._store.poison_pills(self.generation))
            on_parked: Callable[[Mapping[str, bytes]], None] = (lambda parked: None) if self._park else refuse
            self._pipeline = Pipeline(self._store, self.generation, self.retry, on_parked)
            self._pipeline.start(self._partitions)
            first = self.retry(self.log.first)
            # The plan has accepted the loss of what the log no longer has.
            start = {partition: max(offset, first[partition]) for partition, offset in self.positions.items()}
            self._reader = self.retry(lambda: self.log.read(start))
        return self._pipeline, self._reader
