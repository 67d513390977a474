"""Pending loads and commits: sent to Redis, with the answer to be read later."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any, cast

import redis
import structlog
from hiredis import pack_command

from projector.errors import StoreUnavailable
from projector.project import Stored
from projector.readmodel.schema.keys import Keys
from projector.readmodel.schema.ordinals import ordinal_of
from projector.store.commit import COMMIT, LOAD, Outcome
from projector.store.nodes import Nodes


def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


COMMIT_SHA = _sha(COMMIT)
LOAD_SHA = _sha(LOAD)

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
                # As send_command does, which first looks at each argument.
                packed = pack_command(cast(Any, command))
                connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
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


class _Call:
    """A script call, sent at once, and sent again until its answer is read."""

    def __init__(self, nodes: Nodes, keys: Keys, script: str, command: Command) -> None:
        self._wire = _Wire(nodes, keys.meta)
        self._script = script
        self._command = command
        self.sent_s = 0.0
        # A failed send does not matter yet: `answer` sends again.
        with suppress(StoreUnavailable):
            self._send(self._command)

    def answer(self) -> Any:
        """Waits for the answer. Raises StoreUnavailable; the next call sends again."""
        while True:
            if not self._wire.is_busy:
                self._send(self._command)
            try:
                return self._wire.receive()
            except redis.exceptions.NoScriptError:
                self._send(("SCRIPT", "LOAD", self._script))
                self._wire.receive()

    def discard(self) -> None:
        self._wire.discard()

    def _send(self, command: Command) -> None:
        self.sent_s = time.perf_counter()
        self._wire.send(command)


class PendingLoad:
    """A load of groups."""

    def __init__(self, nodes: Nodes, keys: Keys, group_ids: Sequence[str]) -> None:
        self._group_ids = group_ids
        command: Command = ("EVALSHA", LOAD_SHA, 3, keys.ordinal, keys.record, keys.absent, *group_ids)
        self._call = _Call(nodes, keys, LOAD, command)

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
    """A commit, retried with the same arguments until its outcome is known."""

    def __init__(self, nodes: Nodes, keys: Keys, request: Sequence[str | bytes], answered: OnOutcome) -> None:
        self._answered = answered
        self._key = keys.meta
        self._call = _Call(nodes, keys, COMMIT, ("EVALSHA", COMMIT_SHA, 2, keys.meta, keys.absent, *request))

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
