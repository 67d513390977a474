"""Pending loads and commits: sent to Redis, with the answer to be read later."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import redis
import structlog
from hiredis import pack_command

from projector.errors import StoreUnavailable
from projector.project import Stored
from projector.readmodel.client.batches import Command
from projector.readmodel.client.script import Script
from projector.readmodel.schema.keys import Keys
from projector.readmodel.schema.ordinals import ordinal_of
from projector.store.commit import COMMIT, COMMIT_EVEN_IF_FULL, LOAD, Outcome
from projector.store.nodes import Nodes

log = structlog.get_logger("projector")

OnOutcome = Callable[[Outcome, float], None]


class _Call:
    """A script call, sent at once to the node of the keys, and sent again until its answer is read. Keeps a connection
    from sending to reading.
    """

    def __init__(self, nodes: Nodes, keys: Keys, script: Script, command: Command) -> None:
        self._nodes = nodes
        self._key = keys.meta
        self._script = script
        self._command = command
        self._pool: redis.ConnectionPool
        self._connection: redis.connection.Connection | None = None
        self.sent_s = 0.0
        # A failed send does not matter yet: `answer` sends again.
        with suppress(StoreUnavailable):
            self._connection = self._send(self._command)

    def answer(self) -> Any:
        """Waits for the answer. Raises StoreUnavailable; the next call sends again."""
        while True:
            connection = self._connection or self._send(self._command)
            self._connection = None
            try:
                return self._receive(connection)
            except redis.exceptions.NoScriptError:
                self._receive(self._send(("SCRIPT", "LOAD", self._script.text)))

    def discard(self) -> None:
        """Drops the call without waiting for the answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(connection)

    def _send(self, command: Command) -> redis.connection.Connection:
        self.sent_s = time.perf_counter()
        with self._nodes.errors():
            self._pool = self._nodes.of(self._key).connection_pool
            connection = self._pool.get_connection()
            try:
                # As send_command does, which first looks at each argument.
                packed = pack_command(cast(Any, command))
                connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
            except BaseException:
                self._pool.release(connection)
                raise
        return connection

    def _receive(self, connection: redis.connection.Connection) -> Any:
        with self._nodes.errors():
            try:
                return connection.read_response()
            finally:
                self._pool.release(connection)


class PendingLoad:
    """A load of groups."""

    def __init__(self, nodes: Nodes, keys: Keys, group_ids: Sequence[str]) -> None:
        self._group_ids = group_ids
        self._call = _Call(nodes, keys, LOAD, LOAD.call(keys, [keys.ordinal, keys.record], *group_ids))

    def groups(self) -> Mapping[str, Stored | None]:
        """Waits for the answer; None for a new group. Raises StoreUnavailable; the next call sends again."""
        try:
            found = self._call.answer()
        except StoreUnavailable:
            # The request is old: its error may be over, so send again before raising.
            found = self._call.answer()
        return {
            group_id: Stored(ordinal_of(member), record) if record else None
            for group_id, member, record in zip(self._group_ids, found[::2], found[1::2], strict=True)
        }

    def discard(self) -> None:
        """Drops the load without waiting for the answer."""
        self._call.discard()


class PendingCommit:
    """A commit, retried with the same arguments until its outcome is known. `even_if_full`: also at maxmemory."""

    def __init__(
        self, nodes: Nodes, keys: Keys, request: Sequence[str | bytes], answered: OnOutcome, even_if_full: bool
    ) -> None:
        self._answered = answered
        self._key = keys.meta
        script = COMMIT_EVEN_IF_FULL if even_if_full else COMMIT
        self._call = _Call(nodes, keys, script, script.call(keys, [keys.meta], *request))

    def outcome(self) -> Outcome:
        """Waits for the answer. After StoreUnavailable the result is unknown: the next call sends the same again."""
        while True:
            outcome = Outcome(self._call.answer()[0].decode())
            self._answered(outcome, time.perf_counter() - self._call.sent_s)
            if outcome is not Outcome.FINISHED:
                return outcome
            log.warning("completed a commit that was left half written", key=self._key)

    def discard(self) -> None:
        """Drops the commit without waiting for the answer. Redis' positions show whether it was stored."""
        self._call.discard()
