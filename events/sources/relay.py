"""The relay: publishes the orders that are noted, and deletes the notes once the log has acknowledged.

A turn reads notes, draws a version, reads the orders, publishes them, and deletes exactly those notes. All of it is on
one connection, which has an advisory lock: with the connection the lock is lost, and the rest of the turn fails. The
version is committed before the orders are read, so of two relays the one that reads later has the greater version. A
relay that was paused between reading and publishing publishes stale events, which the projector ignores. The version
is not taken from the notes, whose transactions do not commit in their order. It is not below the clock, since the
counter may be lost with the schema or a restored database.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic

import structlog

from events.errors import BadLogUrl, LogError, SourceUnavailable
from events.logs.log import Log
from events.sources.backfill import begin_backfill_into, is_backfilling, note_next
from events.sources.database import Connection, connected, row, run
from events.sources.mapping import Mapping
from events.sources.marks import problems
from events.sources.notes import BATCH, delete_notes, orders_of, read_notes, spread
from events.sources.schema import SCHEMA, is_installed
from events.sources.snapshot import entries, read_orders
from events.sources.status import LOCK, backlog
from events.sources.watch import Watch

# How often notes are read while there are none, in seconds.
POLL_S = 0.1
# How often a relay asks for the lock of another, in seconds.
STAND_BY_S = 1.0
# How often backlog, triggers and the identity of the log are read, in seconds.
LOOK_S = 5.0
# Pauses after a failed turn, in seconds: each twice as long as the one before.
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0

log = structlog.get_logger("source")


class Relay:
    """`at`: called before each step of a turn, with its name, for tests."""

    def __init__(
        self,
        url: str,
        mapping: Mapping,
        to: Log,
        stop: threading.Event,
        watch: Watch,
        at: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._url = url
        self._mapping = mapping
        self._log = to
        self._stop = stop
        self._watch = watch
        self._at = at
        self._looked_at_s = float("-inf")

    def run(self) -> None:
        """Runs until `stop` is set. Raises BadSource, BadLogUrl."""
        pause_s = PAUSE_S
        while not self._stop.is_set():
            try:
                with connected(self._url) as connection:
                    if self._locked(connection):
                        while not self._stop.is_set():
                            busy = self.turn(connection)
                            self._resumed()
                            pause_s = PAUSE_S
                            if not busy:
                                self._stop.wait(POLL_S)
            except BadLogUrl:
                raise
            except (SourceUnavailable, LogError) as error:
                self._failed("log" if isinstance(error, LogError) else "source", str(error))
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            finally:
                self._watch.works = False

    def turn(self, connection: Connection) -> bool:
        """Publishes some notes. Returns whether there may be more. Call it with the lock."""
        start_s = monotonic()
        self._watch.turn()
        self._look(connection, start_s)
        notes = read_notes(connection)
        if len(notes) < BATCH and not any(note.bulk for note in notes) and is_backfilling(connection):
            note_next(connection, self._mapping)
            notes = read_notes(connection)
        if not notes:
            return False
        self._at("draw")
        version, now = _draw(connection)
        self._at("read")
        with connection.transaction():
            run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            noted = orders_of(connection, self._mapping, notes)
            found = read_orders(connection, self._mapping, noted.orders)
        events = list(entries(self._mapping.source, found, noted.pairs, version, now))
        self._at("publish")
        if events:
            self._log.append(events)
        self._at("delete")
        with connection.transaction():
            delete_notes(connection, noted.done)
            run(connection, f"UPDATE {SCHEMA}.state SET published = published + %s", [len(events)])
        spread(connection, self._mapping, noted.broad)
        self._watch.published(len(events), monotonic() - start_s)
        return True

    def _locked(self, connection: Connection) -> bool:
        """Returns once this relay has the lock; False if it is stopped before."""
        stood_by = False
        while not self._stop.is_set():
            self._watch.turn()
            if row(connection, "SELECT pg_try_advisory_lock(%s)", [LOCK])[0]:
                if not is_installed(connection):
                    raise SourceUnavailable("nothing is installed: run `projector source install`")
                self._log.create()
                self._watch.works = True
                log.info("publishing", mapping=self._mapping.name)
                return True
            if not stood_by:
                log.info("standing by: another relay works")
                self._resumed()
                stood_by = True
            self._stop.wait(STAND_BY_S)
        return False

    def _look(self, connection: Connection, now_s: float) -> None:
        if now_s - self._looked_at_s < LOOK_S:
            return
        self._looked_at_s = now_s
        if begin_backfill_into(connection, self._mapping, self._log.identity()):
            log.warning("another log than before: publishing all orders")
        before, found = self._watch.problems_of_source, problems(connection, self._mapping)
        for problem in found:
            if problem not in before:
                log.error("changes may be missing", reason=problem)
        self._watch.problems_of_source = found
        self._watch.backlog = backlog(connection)

    def _failed(self, on: str, reason: str) -> None:
        if self._watch.waiting is None or self._watch.waiting.reason != reason:
            log.warning("waiting", on=on, reason=reason)
        self._watch.wait(on, reason)

    def _resumed(self) -> None:
        if self._watch.waiting is not None:
            log.info("resumed", waited_s=round(self._watch.resume(), 1))


def _draw(connection: Connection) -> tuple[int, datetime]:
    """Commits and returns the next version, and the time."""
    version, now = row(
        connection,
        f"UPDATE {SCHEMA}.state SET version = greatest(version + 1, "
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) RETURNING version, clock_timestamp()",
    )
    return version, now
