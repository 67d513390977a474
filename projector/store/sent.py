"""Commands on their way: Redis works on them while we do something else."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any

import redis

from projector.errors import StoreUnavailable
from projector.store.commit import SCRIPT, Outcome
from projector.store.nodes import Nodes

SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

Answered = Callable[[Outcome, float], None]
Command = tuple[str | bytes | int, ...]


class Turn:
    """A command, and its answer, on a connection of its own. `key` says to which node it goes."""

    def __init__(self, nodes: Nodes, key: str, command: Command) -> None:
        self._nodes = nodes
        self._key = key
        self._command = command
        self._pool: redis.ConnectionPool
        self._connection: redis.connection.Connection | None = None
        # Whether it went out does not matter yet: who waits for the answer sends it again.
        with suppress(StoreUnavailable):
            self._send(command)

    def discard(self) -> None:
        """Without waiting for the answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(connection)

    def _answer(self) -> Any:
        """Raises StoreUnavailable; then the next call sends the same again."""
        if self._connection is None:
            self._send(self._command)
        return self._receive()

    def _send(self, command: Command) -> None:
        with self._nodes.errors():
            self._pool = self._nodes.of(self._key).connection_pool
            connection = self._pool.get_connection()
            try:
                connection.send_command(*command)  # type: ignore[no-untyped-call]
            except BaseException:
                self._pool.release(connection)
                raise
            self._connection = connection

    def _receive(self) -> Any:
        connection, self._connection = self._connection, None
        assert connection is not None, "nothing is received before it is sent"
        with self._nodes.errors():
            try:
                return connection.read_response()
            finally:
                self._pool.release(connection)


class Asked(Turn):
    """For the states of some groups."""

    def __init__(self, nodes: Nodes, key: str, group_ids: Sequence[str]) -> None:
        self._group_ids = group_ids
        super().__init__(nodes, key, ("HMGET", key, *group_ids))

    def states(self) -> Mapping[str, bytes | None]:
        """Waits for the answer. Raises StoreUnavailable; then the next call asks again."""
        try:
            found = self._answer()
        except StoreUnavailable:
            # Of a while ago: what it was refused for may be over, and would be told as another incident.
            found = self._answer()
        return dict(zip(self._group_ids, found, strict=True))


class Sent(Turn):
    """A commit."""

    def __init__(self, nodes: Nodes, meta: str, request: Sequence[str | bytes], answered: Answered) -> None:
        self._answered = answered
        self._sent_s = time.perf_counter()
        super().__init__(nodes, meta, ("EVALSHA", SHA, 1, meta, *request))

    def outcome(self) -> Outcome:
        """Waits for the answer. After StoreUnavailable the result is unknown: the next call sends the same again."""
        try:
            answer = self._answer()
        except redis.exceptions.NoScriptError:
            self._send(("SCRIPT", "LOAD", SCRIPT))
            self._receive()
            answer = self._answer()
        outcome = Outcome(answer[0].decode())
        self._answered(outcome, time.perf_counter() - self._sent_s)
        return outcome

    def _send(self, command: Command) -> None:
        self._sent_s = time.perf_counter()
        super()._send(command)
