"""Produces parked records to the dead-letter topic, for operators who monitor topics and not Redis.

Delivery is at least once: a record is produced before the commit that parks it, so a crash in between produces it
again; the header `parked-position` identifies duplicates. While the topic is unavailable, the positions are noted in
Redis before the commit, and the projection continues. They are produced from Redis once the topic is available.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import structlog

from events.errors import LogError, LogMissing, RecordTooLarge
from events.logs.log import Entry, Log
from projector.parked.listing import read
from projector.parked.record import Parked, decode, from_log, parse_position
from projector.readmodel.schema.generations import DEAD_LETTERS_DUE
from projector.readmodel.schema.keys import Generation
from projector.retry import retry
from projector.store.redis import Store

# Pause before a failed topic is tried again, in seconds.
RETRY_S = 10.0
# Noted records per append, and appends per call of `retry_noted`, which blocks the main loop.
RETRY_RECORDS = 20
RETRY_APPENDS = 50

log = structlog.get_logger("projector")


class DeadLetters:
    """Counts of this process: `produced`; `failed`: noted instead; `refused`: too large for the topic, not retried."""

    def __init__(self, topic: Log, store: Store, stop: threading.Event, source: Log) -> None:
        """`source`: the log, for the payload of records that Redis keeps without it."""
        self._topic = topic
        self._source = source
        self._store = store
        self._stop = stop
        self._is_failing = False
        self._try_at_s = 0.0
        # An earlier process may have left noted positions.
        self._are_noted = True
        self.produced = self.failed = self.refused = 0

    def prepare(self) -> None:
        """Creates the topic if there is none."""
        try:
            self._ensure_topic()
        except LogError as error:
            self._fail(error)

    def produce(self, parked: Mapping[str, bytes]) -> None:
        """Produces the records of a commit that is about to be sent, or notes them. `parked`: position -> JSON.

        Raises Stopped.
        """
        if not self._is_failing:
            try:
                self._produce([decode(position, stored) for position, stored in parked.items()])
                return
            except LogError as error:
                self._fail(error)
        self.failed += len(parked)
        self._are_noted = True
        self._note("SADD", list(parked))

    def retry_noted(self, generation: Generation) -> None:
        """Produces noted records, at most every RETRY_S after a failure. Raises StoreUnavailable."""
        if not self._are_noted or time.monotonic() < self._try_at_s:
            return
        noted = sorted(self._noted(), key=parse_position)
        try:
            if self._is_failing:
                self._ensure_topic()
            for start in range(0, min(len(noted), RETRY_RECORDS * RETRY_APPENDS), RETRY_RECORDS):
                self._produce_noted(generation, noted[start : start + RETRY_RECORDS])
                if self._stop.is_set():
                    return
        except LogError as error:
            self._fail(error)
            return
        if self._is_failing:
            log.info("the dead-letter topic is available again", topic=self._topic.topic)
        self._is_failing = False
        self._are_noted = bool(self._noted())

    def _ensure_topic(self) -> None:
        """Creates the topic only where it is missing: our user may lack the permission to create topics."""
        try:
            self._topic.partitions()
        except LogMissing:
            if self._topic.create():
                log.info("created the dead-letter topic", topic=self._topic.topic)

    def _produce_noted(self, generation: Generation, positions: Sequence[str]) -> None:
        found: dict[str, Parked] = {}
        for shard in range(generation.shards):
            found |= read(self._store, generation, shard, positions)
        self._produce(list(found.values()))
        # A noted record that is not parked is either not committed yet, or, if Redis' position is past it, was redriven
        # or discarded since.
        done = [one for one in positions if one in found or self._is_applied(generation, one)]
        if done:
            self._note("SREM", done)

    def _is_applied(self, generation: Generation, position: str) -> bool:
        partition, offset = parse_position(position)
        shards = range(generation.shards)
        return all((self._store.positions(generation, shard, [partition])[0] or 0) > offset for shard in shards)

    def _produce(self, parked: Sequence[Parked]) -> None:
        """Raises LogError."""
        try:
            self._topic.append([dead_letter(from_log(one, self._source) or one) for one in parked])
            self.produced += len(parked)
        except LogError as error:
            if len(parked) > 1:
                # One record that is too large fails the whole append.
                for one in parked:
                    self._produce([one])
            elif isinstance(error, RecordTooLarge):
                self.refused += 1
                at, size = parked[0].position, len(parked[0].value or b"")
                log.warning("too large for the dead-letter topic", position=at, bytes=size, reason=str(error))
            else:
                raise

    def _fail(self, error: LogError) -> None:
        self._try_at_s = time.monotonic() + RETRY_S
        if not self._is_failing:
            self._is_failing = self._are_noted = True
            log.warning(
                "the dead-letter topic is unavailable: parked events are kept in Redis, and produced later",
                topic=self._topic.topic,
                reason=str(error),
            )

    def _note(self, command: str, positions: Sequence[str]) -> None:
        write = partial(self._store.nodes.write_even_if_full, DEAD_LETTERS_DUE, command, DEAD_LETTERS_DUE, *positions)
        retry(self._stop, write)

    def _noted(self) -> set[str]:
        with self._store.nodes.errors():
            found = cast(set[bytes], self._store.nodes.of(DEAD_LETTERS_DUE).smembers(DEAD_LETTERS_DUE))
        return {one.decode() for one in found}


def dead_letter(parked: Parked) -> Entry:
    """Returns the record with its key, value and headers, followed by our headers."""
    ours = {"parked-position": parked.position, "parked-reason": parked.reason, "parked-at": parked.parked_at or ""}
    added = tuple((name, text.encode()) for name, text in ours.items())
    return Entry(parked.key, parked.value, (*parked.headers, *added))
