"""Which generations there are, and which of them is live."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

import msgspec

from projector.errors import CannotGoOn, StoreUnavailable
from projector.readmodel.document import VERSION
from projector.readmodel.generations import GENERATIONS, NUMBERS, REPLAY, Listed, State
from projector.readmodel.keys import LIVE, Generation
from projector.store.nodes import Nodes


class Catalogue:
    """Every method raises StoreUnavailable when Redis does not answer, and CannotGoOn where what it has is not ours."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def live(self) -> Generation | None:
        """What readers use; None before the first."""
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(LIVE).get(LIVE))
        try:
            return msgspec.json.decode(found, type=Generation) if found else None
        except msgspec.DecodeError as error:
            raise CannotGoOn(f"{LIVE} in Redis: expected a generation, got {found!r} ({error})") from None

    def point(self, generation: Generation) -> None:
        """From the next request on, this is what readers use."""
        self._nodes.keep_book(LIVE, "SET", LIVE, msgspec.json.encode(generation))

    def listed(self) -> list[Listed]:
        """By number."""
        with self._nodes.errors():
            found = cast(dict[bytes, bytes], self._nodes.of(GENERATIONS).hgetall(GENERATIONS))
        try:
            listed = [msgspec.json.decode(entry, type=Listed) for entry in found.values()]
        except msgspec.DecodeError as error:
            raise CannotGoOn(f"{GENERATIONS} in Redis: {error}") from None
        return sorted(listed, key=lambda entry: entry.generation.number)

    def find(self, number: int) -> Listed | None:
        return next((entry for entry in self.listed() if entry.generation.number == number), None)

    def put(self, entry: Listed) -> None:
        number = str(entry.generation.number)
        self._nodes.keep_book(GENERATIONS, "HSET", GENERATIONS, number, msgspec.json.encode(entry))

    def remove(self, number: int) -> None:
        with self._nodes.errors():
            self._nodes.of(GENERATIONS).hdel(GENERATIONS, str(number))

    def next_number(self) -> int:
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(NUMBERS).get(NUMBERS))
        return max([int(found or 0), *(entry.generation.number + 1 for entry in self.listed())])

    def add(self, shards: int, state: State) -> Listed:
        """A new generation of this code's version. Only the holder of the lease adds any."""
        entry = self._new(shards, state)
        self.put(entry)
        return entry

    def replay(self) -> str | None:
        """Who is at work on the generations now; see lease.py."""
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(REPLAY).get(REPLAY))
        return found.decode() if found else None

    def ensure_live(self, shards: int) -> Generation:
        """The live one. Where none is: the newest that was live before, else a first one, of that many shards."""
        generation = self.live()
        if generation is None:
            generation = _newest_ready(self.listed()) or self._new(shards, State.READY).generation
            with self._nodes.errors():
                made = self._nodes.of(LIVE).set(LIVE, msgspec.json.encode(generation), nx=True)
            # Else another process was faster.
            generation = generation if made else self.live()
            if generation is None:
                raise StoreUnavailable(f"{LIVE} vanished while it was read")
        if self.find(generation.number) is None:
            self.put(Listed(generation, State.READY, now()))
        return generation

    def _new(self, shards: int, state: State) -> Listed:
        number = self.next_number()
        self._nodes.keep_book(NUMBERS, "SET", NUMBERS, number + 1)
        return Listed(Generation(number, shards, VERSION, secrets.token_hex(8)), state, now())


def _newest_ready(listed: Iterable[Listed]) -> Generation | None:
    ready = [entry.generation for entry in listed if entry.state is State.READY]
    return ready[-1] if ready else None


def now() -> str:
    return datetime.now(UTC).isoformat()
