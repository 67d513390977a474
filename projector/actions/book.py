"""Requests and answers in Redis. Only the holder of the lease `{og:live}:executor` answers."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, cast

import msgspec
from msgspec import Struct

from projector.readmodel.schema.actions import (
    ANSWERS,
    EXECUTOR,
    EXPIRES_S,
    KEPT,
    REQUESTS,
    Answer,
    Request,
    requested_ms,
)
from projector.store.nodes import Nodes

# More than may wait at a time: all that wait or run are among the newest of this number.
_READ = 32

# An executor that was suspended, and replaced, must not overwrite the answer of its successor.
_ANSWER = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[2])
if not held or cjson.decode(held).token ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
"""


class Todo(Enum):
    """What an executor has to do with a request."""

    NOTHING = auto()
    EXECUTE = auto()
    # It waited too long: what its author saw has passed.
    REFUSE = auto()
    # The process that executed it has ended, since nobody else holds the lease.
    GIVE_UP = auto()


class Entry(Struct, frozen=True):
    """`request`: None if this release does not know such a one."""

    id: str
    request: Request | None
    answer: Answer | None

    def todo(self, now_ms: int) -> Todo:
        """`now_ms`: Unix milliseconds by the clock of Redis. To be called by the holder of the lease."""
        if self.answer is not None:
            return Todo.GIVE_UP if self.answer.state == "running" else Todo.NOTHING
        is_late = now_ms - requested_ms(self.id) > EXPIRES_S * 1000
        return Todo.REFUSE if is_late or self.request is None else Todo.EXECUTE


class Book:
    """Methods raise StoreUnavailable."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def todo(self) -> list[tuple[Todo, Entry]]:
        """Returns what is to be done, in the order of the requests. Many of these calls find nothing."""
        with self._nodes.errors():
            client = self._nodes.of(REQUESTS)
            found = cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrevrange(REQUESTS, count=_READ))
            if not found:
                return []
            answers = cast(list[bytes | None], client.hmget(ANSWERS, [entry_id for entry_id, _ in found]))
            seconds, _ = client.time()
        entries = [_entry(entry_id, fields, answer) for (entry_id, fields), answer in zip(found, answers, strict=True)]
        judged = [(entry.todo(seconds * 1000), entry) for entry in reversed(entries)]
        return [one for one in judged if one[0] is not Todo.NOTHING]

    def is_held(self) -> bool:
        """Returns whether a process executes an action, or was killed some seconds ago."""
        with self._nodes.errors():
            return bool(self._nodes.of(EXECUTOR).exists(EXECUTOR))

    def answer(self, entry_id: str, answer: Answer, token: str) -> bool:
        """Returns False if the lease is lost."""
        with self._nodes.errors():
            client = self._nodes.of(ANSWERS)
            return bool(client.eval(_ANSWER, 2, ANSWERS, EXECUTOR, token, entry_id, msgspec.json.encode(answer)))

    def forget(self) -> None:
        """Deletes requests beyond KEPT, and answers to requests that are gone."""
        with self._nodes.errors():
            client = self._nodes.of(ANSWERS)
            client.xtrim(REQUESTS, maxlen=KEPT, approximate=False)
            kept = {entry_id for entry_id, _ in cast(list[Any], client.xrange(REQUESTS))}
            gone = [entry_id for entry_id in cast(list[bytes], client.hkeys(ANSWERS)) if entry_id not in kept]
            if gone:
                client.hdel(ANSWERS, *gone)


def _entry(entry_id: bytes, fields: dict[bytes, bytes], answer: bytes | None) -> Entry:
    try:
        request = msgspec.json.decode(next(iter(fields.values())), type=Request)
    except msgspec.DecodeError:
        request = None
    return Entry(entry_id.decode(), request, msgspec.json.decode(answer, type=Answer) if answer else None)


def differing(expected: dict[str, Any] | None, found: dict[str, Any]) -> Sequence[str]:
    """Returns in words what differs; nothing if all is as expected. Pure."""
    given = expected or {}
    return [
        f"expected {name} {_text(given.get(name))}, found {_text(found.get(name))}"
        for name in dict.fromkeys([*found, *given])
        if given.get(name) != found.get(name)
    ]


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
