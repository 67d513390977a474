"""The main loop: polls the log, decodes, and pushes batches into the pipeline, which loads, projects and commits."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from events.errors import LogError, LogGap, LogUnavailable
from events.logs.log import Log, Loss, Partition, Polled, Position, Subscription
from projector.batches import POLL_RECORDS_MAX, batches
from projector.continuity import REBUILD, check_continuity, check_end
from projector.control import Closed, Rejoin, Rewind
from projector.errors import FatalError, OtherVersion, StoreUnavailable
from projector.health.watch import Watch
from projector.parked.cap import Limits
from projector.parked.dead_letters import DeadLetters
from projector.parked.intake import Intake
from projector.pipeline import Pipeline
from projector.project import Decoded
from projector.retry import Stopped, retry
from projector.store.redis import Store
from projector.succession import await_successor, stand_by

# How long one poll waits for records, in seconds: the longest time until a stop is noticed.
POLL_S = 0.2
# How often positions are committed to the log, its end is published, and both log and Redis are checked, in seconds.
MARK_EVERY_S = 1.0
# How often an idle projector compares the log with what was applied, in seconds.
COMPARE_EVERY_S = 10.0

REWIND_REASONS = {"lost_writes": "Redis has lost writes", "generation": "another generation is live"}

T = TypeVar("T")
log = structlog.get_logger("projector")


class Projector:
    """Folds one log into the live generation, as a member of the consumer group that shares the partitions."""

    def __init__(
        self,
        source: Log,
        store: Store,
        stop: threading.Event,
        accept_loss: frozenset[Loss] = frozenset(),
        limits: Limits | None = None,
        parked_topic: Log | None = None,
        watch: Watch | None = None,
        stands_by: bool = False,
        shards: int = 1,
        personal_data: bool = True,
    ) -> None:
        """`stands_by`: if another version is live at the start, wait for ours instead of raising OtherVersion."""
        self._watch = watch or Watch()
        self._log, self._store, self._stop = source, store, stop
        self._accept_loss = accept_loss
        self._stands_by = stands_by
        # Of the first generation; later of the live one: if Redis loses everything, it gets as many again.
        self._shards, self._personal_data = shards, personal_data
        dead_letters = DeadLetters(parked_topic, store, stop, source) if parked_topic is not None else None
        self._intake = Intake(store, stop, limits or Limits(), dead_letters)
        self._pipeline: Pipeline
        self._marked_at_s = self._compared_at_s = 0.0

    def run(self) -> None:
        """Runs until `stop` is set. Creates the log if there is none. Raises FatalError, LogGap."""
        try:
            if self._retry(self._log.create):
                log.info("created the log, with unlimited retention", topic=self._log.topic)
            self._check_losses()
            self._retry(self._store.check_eviction)
            self._rewrite_files()
            self._intake.prepare()
            try:
                self._open_generation()
            except OtherVersion:
                if not self._stands_by:
                    raise
                self._stand_by()
            while not self._stop.is_set():
                try:
                    self._run_as_member()
                except OtherVersion:
                    self._stand_by()
        except Stopped:
            log.info("stopped while the log or Redis was unavailable: events that are not applied stay in the log")

    def _run_as_member(self) -> None:
        """Joins the group, and runs until a stop or a Rejoin."""
        subscription = self._log.subscribe()
        try:
            while not self._stop.is_set():
                self._step(subscription)
            self._finish()
            self._intake.end()
            self._mark(subscription)
        except Rejoin:
            self._watch.metrics.rewound("other_writer")
            self._pipeline.discard()
            self._open_generation()
        except LogError:
            # The log is unusable, but the batches in the pipeline are good.
            self._finish()
            raise
        finally:
            self._watch.leave()
            subscription.close()

    def _finish(self) -> None:
        """Flushes the pipeline. The next start detects lost writes and other writers."""
        with suppress(Rejoin, Closed):
            try:
                self._pipeline.flush()
            except Rewind as rewind:
                self._rewound(rewind)

    def _rewound(self, rewind: Rewind) -> None:
        self._watch.metrics.rewound(rewind.reason)
        log.warning(f"{REWIND_REASONS[rewind.reason]}: reading the log again from the positions in Redis")
        self._rewrite_files()

    def _rewrite_files(self) -> None:
        """Called before writing: Redis could misread, at its next start, what is appended to a torn file."""
        self._watch.pulse.pending_rewrites = self._retry(self._store.rewrite_files)

    def _check_losses(self) -> None:
        losses = self._retry(self._log.losses)
        for loss, sentence in losses.items():
            if loss not in self._accept_loss:
                raise FatalError(f"{sentence}; change that, or accept it with --accept-loss {loss}")

    def _open_generation(self) -> None:
        generation = self._retry(lambda: self._store.generation(self._shards, self._personal_data))
        self._shards = generation.shards
        on_parked, on_stored = self._intake.on_parked, self._watch.metrics.stored
        self._pipeline = Pipeline(self._store, generation, self._retry, on_parked, on_stored)

    def _stand_by(self) -> None:
        if stand_by(self._store, self._retry, self._stop, self._watch):
            self._open_generation()

    def _step(self, subscription: Subscription) -> None:
        # Batches in the pipeline must not wait for new records.
        wait_s = 0.0 if self._pipeline.busy else POLL_S
        polled = self._retry(lambda: subscription.poll(wait_s, POLL_RECORDS_MAX))
        try:
            if polled.revoked:
                self._intake.revoke(polled.revoked)
            if polled.assigned:
                self._pipeline.flush()
                self._start(subscription, polled.assigned)
            if polled.interrupted or self._is_to_be_compared(polled):
                self._pipeline.flush()
                self._compare(self._pipeline.partitions, thorough=polled.interrupted)
            for batch in batches(polled.records):
                for decoded in self._intake.take(self._pipeline, batch, subscription):
                    self._push(decoded)
            if not polled.records:
                self._push(())
            if self._mark_is_due():
                self._pipeline.check()
                self._intake.refresh(self._pipeline, subscription)
                self._watch.pulse.parked_bytes = self._intake.parked_bytes
        except Closed:
            self._watch.metrics.rewound("generation")
            await_successor(self._store, self._pipeline.generation, self._retry, self._stop, self._watch)
            self._start_again(subscription)
        except Rewind as rewind:
            self._rewound(rewind)
            self._start_again(subscription)
        if self._mark_is_due():
            self._mark(subscription)

    def _push(self, decoded: Sequence[Decoded]) -> None:
        started_s = time.perf_counter()
        self._watch.begin(self._pipeline.oldest or decoded)
        self._pipeline.push(decoded)
        self._watch.end(self._pipeline.oldest, time.perf_counter() - started_s if decoded else None)

    def _start_again(self, subscription: Subscription) -> None:
        self._pipeline.discard()
        partitions = self._pipeline.partitions
        self._open_generation()
        self._start(subscription, partitions)

    def _is_to_be_compared(self, polled: Polled) -> bool:
        is_idle = not polled.records and not self._pipeline.busy
        return is_idle and time.monotonic() - self._compared_at_s >= COMPARE_EVERY_S

    def _mark_is_due(self) -> bool:
        return time.monotonic() - self._marked_at_s >= MARK_EVERY_S

    def _mark(self, subscription: Subscription) -> None:
        """Commits the positions to the log and publishes its end in Redis. Raises LogGap for another log."""
        self._marked_at_s = time.monotonic()
        pipeline = self._pipeline
        positions = {partition: pipeline.lowest(partition) for partition in pipeline.partitions}
        subscription.mark(positions)
        self._watch.mark(subscription.owned(), positions)
        with suppress(StoreUnavailable):
            self._watch.pulse.pending_rewrites = self._store.rewrite_files()
        with suppress(LogUnavailable, StoreUnavailable):
            # A consumer that was busy while its topic was created again reads on in the new one.
            self._check_identity()
            end = self._log.end()
            self._store.publish_end(pipeline.generation, end)
            self._watch.pulse.set_end(end, self._log.held_back(end))
        self._watch.read_redis(self._store, pipeline.generation)

    def _start(self, subscription: Subscription, partitions: Sequence[Partition]) -> None:
        """Seeks the partitions to the positions in Redis."""
        if not partitions:
            return
        self._retry(self._check_identity)
        self._pipeline.start(partitions)
        self._intake.start(self._pipeline, partitions)
        first, end = self._retry(self._log.first), self._retry(self._log.end)
        for partition in partitions:
            offset, highest = self._pipeline.lowest(partition), self._pipeline.highest(partition)
            check_end(partition, highest, end[partition])
            if offset < first[partition] and Loss.RETENTION not in self._accept_loss:
                raise LogGap(
                    f"retention_gap: {partition} is needed from {offset} on, but the log begins at {first[partition]}: "
                    f"the events in between are lost; accept that with --accept-loss {Loss.RETENTION}"
                )
            offset = max(offset, first[partition])
            log.info("reading", partition=str(partition), position=offset, end=end[partition])
            subscription.seek(Position(partition, offset))
        self._compare(partitions, thorough=True)

    def _compare(self, partitions: Sequence[Partition], thorough: bool) -> None:
        """Raises LogDiverged if the log differs from what was applied, LogGap if it ends before that."""
        end = self._retry(self._log.end)
        for partition in partitions:
            check_end(partition, self._pipeline.highest(partition), end[partition])
        generation, compared = self._pipeline.generation, self._watch.metrics.compared
        check_continuity(self._log, self._store, generation, partitions, self._retry, compared, thorough)
        self._compared_at_s = time.monotonic()

    def _check_identity(self) -> None:
        """Raises LogGap for another log, where our positions are meaningless, even if it has grown past them."""
        ours = self._log.identity()
        if self._store.bind_log(self._pipeline.generation, ours) != ours:
            raise LogGap(f"Redis has events of another log: {self._log.topic} was deleted and created again. {REBUILD}")

    def _retry(self, call: Callable[[], T]) -> T:
        return retry(self._stop, call, self._watch.pulse)
