"""The catalogue of generations, and the pointer to the live one."""

import secrets
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import cast

import msgspec
from msgspec import structs

from projector.errors import FatalError
from projector.readmodel.schema.generations import GENERATIONS, NUMBERS, REPLAY, Listed, State
from projector.readmodel.schema.keys import LIVE, VERSION, Generation
from projector.store.nodes import Nodes

SCRIPT = files(__package__).joinpath("lua/catalogue.lua").read_text()


class Catalogue:
    """Methods raise StoreUnavailable, and FatalError where Redis has something unreadable, or another replay took over.

    `token`: of the lease, without which a replay cannot write.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def live(self) -> Generation | None:
        """Returns the generation that readers use; None before the first."""
        found = self._pointer()
        try:
            return msgspec.json.decode(found, type=Generation) if found else None
        except msgspec.DecodeError as error:
            raise FatalError(f"{LIVE} in Redis: expected a generation, got {found!r} ({error})") from None

    def listed(self) -> list[Listed]:
        """Returns all generations by number."""
        with self._nodes.errors():
            found = cast(dict[bytes, bytes], self._nodes.of(GENERATIONS).hgetall(GENERATIONS))
        try:
            listed = [msgspec.json.decode(entry, type=Listed) for entry in found.values()]
        except msgspec.DecodeError as error:
            raise FatalError(f"{GENERATIONS} in Redis: {error}") from None
        return sorted(listed, key=lambda entry: entry.generation.number)

    def find(self, number: int) -> Listed | None:
        return next((entry for entry in self.listed() if entry.generation.number == number), None)

    def next_number(self) -> int:
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(NUMBERS).get(NUMBERS))
        return max([int(found or 0), *(entry.generation.number + 1 for entry in self.listed())])

    def replay(self) -> str | None:
        """Returns the lease of the running replay, if any; see lease.py."""
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(REPLAY).get(REPLAY))
        return found.decode() if found else None

    def add(self, shards: int, state: State, token: str, personal_data: bool = True) -> Listed:
        """Adds a new generation of this code's version."""
        while True:
            entry = self._new(shards, state, personal_data)
            if self._write("claim", token, str(entry.generation.number), msgspec.json.encode(entry), ""):
                return entry
            if token not in (self.replay() or ""):
                raise _taken_over()

    def put(self, entry: Listed, token: str) -> None:
        """Replaces the entry of a listed generation."""
        if not self._write("put", token, str(entry.generation.number), msgspec.json.encode(entry)):
            raise _taken_over()

    def mark_live(self, generation: Generation, token: str) -> None:
        """Notes when it became live, for a rollback. The time is later than all noted ones, even with clock skew."""
        listed = self.listed()
        entry = next((entry for entry in listed if entry.generation.number == generation.number), None)
        if entry is not None:
            live_at = _after(max(entry.live_at for entry in listed))
            self.put(structs.replace(entry, state=State.READY, live_at=live_at), token)

    def remove(self, number: int, token: str) -> None:
        if not self._write("remove", token, str(number)):
            raise _taken_over()

    def point(self, before: Generation | None, after: Generation, token: str) -> None:
        """Makes `after` the live generation, if `before` still is."""
        pointer = self._pointer()
        if self.live() == after:
            # An earlier attempt succeeded, and its answer was lost.
            return
        if self.live() != before or not self._write("point", token, pointer or b"", msgspec.json.encode(after)):
            raise _taken_over()

    def ensure_live(self, shards: int, personal_data: bool = True) -> Generation:
        """Returns the live generation. Without one, activates the newest ready one, or creates one."""
        while True:
            generation = self.live()
            if generation is not None:
                return generation
            ready = [entry for entry in self.listed() if entry.state is State.READY]
            if ready:
                found = ready[-1].generation
                self._write("adopt", "", str(found.number), msgspec.json.encode(found))
            else:
                entry = self._new(shards, State.READY, personal_data)
                made = entry.generation
                self._write("claim", "", str(made.number), msgspec.json.encode(entry), msgspec.json.encode(made))

    def _new(self, shards: int, state: State, personal_data: bool) -> Listed:
        made = Generation(self.next_number(), shards, VERSION, secrets.token_hex(8), personal_data)
        return Listed(made, state, now())

    def _pointer(self) -> bytes | None:
        with self._nodes.errors():
            return cast(bytes | None, self._nodes.of(LIVE).get(LIVE))

    def _write(self, step: str, token: str, *arguments: str | bytes) -> bool:
        keys = (LIVE, GENERATIONS, NUMBERS, REPLAY)
        with self._nodes.errors():
            return bool(self._nodes.of(LIVE).eval(SCRIPT, len(keys), *keys, step, token, *arguments))


def _taken_over() -> FatalError:
    return FatalError(
        "another replay has taken over, or the live generation has changed: check with `projector replay list`"
    )


def now() -> str:
    return datetime.now(UTC).isoformat()


def _after(latest: str) -> str:
    """Returns the current time, or a microsecond after `latest` if that is later. Both are UTC, and sort as text."""
    current = now()
    return current if current > latest else (datetime.fromisoformat(latest) + timedelta(microseconds=1)).isoformat()
