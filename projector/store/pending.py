"""Pending loads and commits: sent to Redis, with the answer to be read later."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any

import redis
import structlog

from projector.errors import StoreUnavailable
from projector.readmodel.schema.keys import Keys
from projector.store.commit import SCRIPT, Outcome
from projector.store.nodes import Nodes

SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

log = structlog.get_logger("projector")

OnOutcome = Callable[[Outcome, float], None]
Command = tuple[str | bytes | int, ...]


class _Wire:
    """Sends one command at a time to the node of `key`. Keeps a connection until the answer is read."""

    def __init__(self, nodes: Nodes, key: str) -> None:
        self._nodes = nodes
        self._key = key
        self._pool: redis.ConnectionPool
        self._connection: redis.connection.Connection | None = None

    @property
    def is_busy(self) -> bool:
        return self._connection is not None

    def send(self, command: Command) -> None:
        """Raises StoreUnavailable."""
        with self._nodes.errors():
            self._pool = self._nodes.of(self._key).connection_pool
            connection = self._pool.get_connection()
            try:
                connection.send_command(*command)  # type: ignore[no-untyped-call]
            except BaseException:
                self._pool.release(connection)
                raise
            self._connection = connection

    def receive(self) -> Any:
        """Raises StoreUnavailable."""
        connection, self._connection = self._connection, None
        assert connection is not None, "receive needs a send before"
        with self._nodes.errors():
            try:
                return connection.read_response()
            finally:
                self._pool.release(connection)

    def discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(connection)


class PendingLoad:
    """A load of group states."""

    def __init__(self, nodes: Nodes, key: str, group_ids: Sequence[str]) -> None:
        self._wire = _Wire(nodes, key)
        self._group_ids = group_ids
        self._command = ("HMGET", key, *group_ids)
        # A failed send does not matter yet: `states` sends again.
        with suppress(StoreUnavailable):
            self._wire.send(self._command)

    def states(self) -> Mapping[str, bytes | None]:
        """Waits for the answer. Raises StoreUnavailable; the next call sends again."""
        if self._wire.is_busy:
            # The request is old: its error may be over, so send again before raising.
            with suppress(StoreUnavailable):
                return self._received()
        self._wire.send(self._command)
        return self._received()

    def discard(self) -> None:
        """Drops the load without waiting for the answer."""
        self._wire.discard()

    def _received(self) -> Mapping[str, bytes | None]:
        return dict(zip(self._group_ids, self._wire.receive(), strict=True))


class PendingCommit:
    """A commit, retried with the same arguments until its outcome is known."""

    def __init__(self, nodes: Nodes, keys: Keys, request: Sequence[str | bytes], answered: OnOutcome) -> None:
        self._wire = _Wire(nodes, keys.meta)
        self._answered = answered
        self._sent_s = 0.0
        self._command = ("EVALSHA", SHA, 2, keys.meta, keys.absent, *request)
        # A failed send does not matter yet: `outcome` sends again.
        with suppress(StoreUnavailable):
            self._send(self._command)

    def outcome(self) -> Outcome:
        """Waits for the answer. After StoreUnavailable the result is unknown: the next call sends the same again."""
        while True:
            if not self._wire.is_busy:
                self._send(self._command)
            try:
                answer = self._wire.receive()
            except redis.exceptions.NoScriptError:
                self._send(("SCRIPT", "LOAD", SCRIPT))
                self._wire.receive()
                continue
            outcome = Outcome(answer[0].decode())
            self._answered(outcome, time.perf_counter() - self._sent_s)
            if outcome is not Outcome.FINISHED:
                return outcome
            log.warning("completed a commit that was left half written", key=self._command[3])

    def discard(self) -> None:
        """Drops the commit without waiting for the answer. Redis' positions show whether it was stored."""
        self._wire.discard()

    def _send(self, command: Command) -> None:
        self._sent_s = time.perf_counter()
        self._wire.send(command)
