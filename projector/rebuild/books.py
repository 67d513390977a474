"""The books of a build, a hash of each shard: which run may write, and the window that is being written.

A shard is written by one builder at a time, which has put its window into the books. The others prepare their windows
meanwhile. Every write is a transaction that Redis refuses if the books, or the generation, have changed since they were
read. So a builder that was paused, and replaced, writes nothing.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import redis
from msgspec import Struct

from projector.errors import FatalError, GenerationLost, StoreUnavailable
from projector.readmodel.schema.keys import VERSION, Generation
from projector.readmodel.schema.ordinals import BLOCK
from projector.rebuild.commands import Command
from projector.store.nodes import Nodes


class Plan(Struct, frozen=True):
    """A window of one shard: the records of `partition` from `start` to before `stop`.

    `first`, `end`: the ordinals reserved for its new groups; `ids`: a digest of these groups' ids. `tally`: name ->
    number once it is written. `number`, `digest`: of its entry in `changed`. Without `ids`, nothing of it is
    written yet: the builder only has its turn.
    """

    partition: str
    start: int | None
    stop: int
    first: int = 0
    end: int = 0
    ids: str = ""
    tally: dict[str, int] = {}
    number: int = 0
    digest: str = ""


class Page(Struct, frozen=True):
    """What a shard holds: the plan, how many of its parts are stored, the position, and number and digest of the newest
    entry of `changed`. `is_reserved`: whether the last reservation of ordinals stands.
    """

    plan: Plan | None
    part: int
    position: int | None
    is_reserved: bool
    newest: tuple[int, str]


_decode = msgspec.json.Decoder(Plan).decode
_encode = msgspec.json.Encoder().encode


def open_books(nodes: Nodes, generation: Generation, run: str) -> None:
    """Lets the builders of `run` write, and no others."""
    for shard in range(generation.shards):
        key = generation.keys(shard).builders
        with nodes.errors():
            nodes.of(key).hset(key, "run", run)


def close_books(nodes: Nodes, generation: Generation) -> None:
    """Ends the build: its builders write no more, and ordinary commits may begin."""
    for shard in range(generation.shards):
        key = generation.keys(shard).builders
        with nodes.errors():
            nodes.of(key).delete(key)


def has_books(nodes: Nodes, generation: Generation) -> bool:
    """Returns whether a build of the generation was begun and has not ended."""
    for shard in range(generation.shards):
        key = generation.keys(shard).builders
        with nodes.errors():
            if nodes.of(key).hexists(key, "run"):
                return True
    return False


class Books:
    """The books of one shard, as the builder of a partition reads and writes them. Methods raise StoreUnavailable.

    `partition`: as in `orders/0`; empty for what is written after all partitions.
    """

    def __init__(self, nodes: Nodes, generation: Generation, shard: int, run: str, partition: str) -> None:
        self._nodes = nodes
        self._generation = generation
        self._keys = generation.keys(shard)
        self._run = run
        self._partition = partition
        self._pipeline: Any = None
        self._answers: list[Any] = []
        # Stored with the last reservation of ordinals; None if none are needed.
        self._reservation: str | None = None
        # Whether the result of a write is unknown.
        self._is_unknown = False

    def read(self) -> Page:
        """Returns the page, on which the next `write` depends. Raises FatalError if this run may not write any more."""
        page = self._read()
        while self._is_unknown:
            # A write whose answer was lost may still arrive. It is refused after this one.
            self._is_unknown = not self.write([("HINCRBY", self._keys.builders, "reconnects", "1")])
            page = self._read()
        return page

    def write(self, commands: Sequence[Command]) -> bool:
        """Returns whether they were written: all, unless the books have changed since `read`, else none."""
        try:
            with self._nodes.errors():
                self._pipeline.multi()
                for command in commands:
                    self._pipeline.execute_command(*command)
                try:
                    answers = self._pipeline.execute(raise_on_error=False)
                except redis.WatchError:
                    return False
        except StoreUnavailable:
            self._is_unknown = True
            raise
        if errors := [answer for answer in answers if isinstance(answer, Exception)]:
            number = self._generation.number
            raise FatalError(f"Redis refused a part of a write ({errors[0]}): projector replay drop {number}")
        self._answers = answers
        return True

    def _read(self) -> Page:
        keys = self._keys
        if self._pipeline is not None:
            self._pipeline.reset()
        with self._nodes.errors():
            pipeline: Any = self._nodes.of(keys.builders).pipeline()
            self._pipeline = pipeline
            pipeline.watch(keys.builders, keys.meta)
            run, plan, part, reserved = pipeline.hmget(
                keys.builders, "run", "plan", "part", f"reserved {self._partition}"
            )
            meta = pipeline.hmget(keys.meta, "version", "nonce", "sealed")
            position = pipeline.hget(keys.position, self._partition)
            newest = pipeline.zrange(keys.changed, -1, -1)
        generation = self._generation
        if meta[0] is None:
            raise GenerationLost(generation.number)
        if run != self._run.encode() or meta != [str(VERSION).encode(), generation.nonce.encode(), None]:
            raise FatalError(
                f"another process builds generation {generation.number}, or has closed it: run the command again"
            )
        number, digest = newest[0].split(b":", 2)[:2] if newest else (b"0", b"")
        return Page(
            _decode(plan) if plan else None,
            int(part or 0),
            None if position is None else int(position),
            self._reservation in (None, (reserved or b"").decode()),
            (int(number), digest.decode()),
        )

    def reserve(self, count: int) -> int | None:
        """Returns the first of so many new ordinals, which begins a block; None to try again."""
        if count == 0:
            self._reservation = None
            return 0
        self._reservation = token = secrets.token_hex(8)
        self.read()
        blocks = -(-count // BLOCK) * BLOCK
        reserved = ("HSET", self._keys.builders, f"reserved {self._partition}", token)
        if not self.write([reserved, ("INCRBY", self._keys.ordinals, str(blocks))]):
            return None
        return int(self._answers[-1]) - blocks

    def plan(self, plan: Plan) -> bool:
        """Puts a window into the books. Returns as `write`."""
        return self.write([("HSET", self._keys.builders, "plan", _encode(plan), "part", "0")])

    def part(self, commands: Sequence[Command], number: int) -> bool:
        """Writes a part of the window. Returns as `write`."""
        return self.write([*commands, ("HSET", self._keys.builders, "part", str(number + 1))])

    def finish(self, commands: Sequence[Command]) -> bool:
        """Writes the last part, and takes the window out of the books. Returns as `write`."""
        return self.write([*commands, ("HDEL", self._keys.builders, "plan", "part")])
