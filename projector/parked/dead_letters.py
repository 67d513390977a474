"""Parked records, produced to a topic of their own beside the log, for those who watch topics and not Redis.

At least once: each is produced before it is committed as parked, so that whoever dies in between produces it again;
`parked-position` tells which are the same. While the topic does not take them, their positions are noted in Redis,
before the commit as well, and the projection goes on. They are produced from there when the topic takes them again.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import cast

import structlog

from events.errors import LogError, LogMissing, RecordTooLarge
from events.logs.log import Entry, Log
from projector.parked.book import read
from projector.parked.record import Parked, decode, place
from projector.readmodel.schema.generations import DEAD_LETTERS_DUE
from projector.readmodel.schema.keys import Generation
from projector.retry import retry
from projector.store.redis import Store

# How soon a topic that took nothing is tried again, in seconds.
AGAIN_S = 10.0
# How many of the noted ones are produced in one go, and how many goes there are before the projector goes on.
AGAIN_RECORDS = 20
AGAIN_GOES = 50

log = structlog.get_logger("projector")


class DeadLetters:
    """`told`: produced by this process. `failed`: noted by it instead. `refused`: too large for the topic, for good."""

    def __init__(self, topic: Log, store: Store, stop: threading.Event) -> None:
        self._topic = topic
        self._store = store
        self._stop = stop
        self._is_failing = False
        self._try_at_s = 0.0
        # What a process before us may have left.
        self._are_noted = True
        self.told = self.failed = self.refused = 0

    def prepare(self) -> None:
        """Makes the topic, if there is none."""
        try:
            self._have_topic()
        except LogError as error:
            self._fail(error)

    def tell(self, parked: Mapping[str, bytes]) -> None:
        """`parked`: position -> JSON, about to be committed. Raises Stopped."""
        if not self._is_failing:
            try:
                self._produce([decode(position, told) for position, told in parked.items()])
                return
            except LogError as error:
                self._fail(error)
        self.failed += len(parked)
        self._are_noted = True
        self._note("SADD", list(parked))

    def again(self, generation: Generation) -> None:
        """What could not be told, if the time has come. Called once in a while. Raises StoreUnavailable."""
        if not self._are_noted or time.monotonic() < self._try_at_s:
            return
        noted = sorted(self._noted(), key=place)
        try:
            if self._is_failing:
                self._have_topic()
            for start in range(0, min(len(noted), AGAIN_RECORDS * AGAIN_GOES), AGAIN_RECORDS):
                self._tell_noted(generation, noted[start : start + AGAIN_RECORDS])
                if self._stop.is_set():
                    return
        except LogError as error:
            self._fail(error)
            return
        if self._is_failing:
            log.info("the topic for parked events takes them again", topic=self._topic.topic)
        self._is_failing = False
        self._are_noted = bool(self._noted())

    def _have_topic(self) -> None:
        """Who may produce to it may perhaps not make it, so that is asked for only where it is not there."""
        try:
            self._topic.partitions()
        except LogMissing:
            if self._topic.create():
                log.info("made the topic for parked events", topic=self._topic.topic)

    def _tell_noted(self, generation: Generation, positions: Sequence[str]) -> None:
        found: dict[str, Parked] = {}
        for shard in range(generation.shards):
            found |= read(self._store, generation, shard, positions)
        self._produce(list(found.values()))
        # Noted before its commit, it may be about to be parked; behind the position it has been taken up since.
        done = [one for one in positions if one in found or self._is_applied(generation, one)]
        if done:
            self._note("SREM", done)

    def _is_applied(self, generation: Generation, position: str) -> bool:
        partition, offset = place(position)
        shards = range(generation.shards)
        return all((self._store.positions(generation, shard, [partition])[0] or 0) > offset for shard in shards)

    def _produce(self, parked: Sequence[Parked]) -> None:
        """Raises LogError."""
        try:
            self._topic.append([letter(one) for one in parked])
            self.told += len(parked)
        except LogError as error:
            if len(parked) > 1:
                # One that is too large fails the others that are sent with it.
                for one in parked:
                    self._produce([one])
            elif isinstance(error, RecordTooLarge):
                self.refused += 1
                at, size = parked[0].position, len(parked[0].value or b"")
                log.warning("too large for the topic of parked events", position=at, bytes=size, reason=str(error))
            else:
                raise

    def _fail(self, error: LogError) -> None:
        self._try_at_s = time.monotonic() + AGAIN_S
        if not self._is_failing:
            self._is_failing = self._are_noted = True
            log.warning(
                "the topic for parked events does not take them: they are parked in Redis, and produced when it does",
                topic=self._topic.topic,
                reason=str(error),
            )

    def _note(self, command: str, positions: Sequence[str]) -> None:
        retry(self._stop, lambda: self._store.nodes.keep_book(DEAD_LETTERS_DUE, command, DEAD_LETTERS_DUE, *positions))

    def _noted(self) -> set[str]:
        with self._store.nodes.errors():
            found = cast(set[bytes], self._store.nodes.of(DEAD_LETTERS_DUE).smembers(DEAD_LETTERS_DUE))
        return {one.decode() for one in found}


def letter(parked: Parked) -> Entry:
    """With its key, value and headers, and ours behind them."""
    ours = {"parked-position": parked.position, "parked-reason": parked.reason, "parked-at": parked.parked_at or ""}
    added = tuple((name, text.encode()) for name, text in ours.items())
    return Entry(parked.key, parked.value, (*parked.headers, *added))
