"""Reads what shards hold, kind by kind, in calls that each take Redis a few milliseconds at most."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from itertools import pairwise
from struct import unpack
from typing import Any, NamedTuple, TypeVar, cast

import redis

from projector.readmodel.schema.keys import Generation, values_name
from projector.readmodel.schema.ordinals import LINES, MEMBER_BYTES
from projector.retry import Retry
from projector.store.redis import Store

# Limits of one call: members of sorted sets, keys, and fields of a hash, which come with their values.
MEMBERS_MAX = 2_500
SCAN_KEYS = 1_000
SCAN_FIELDS = {"ordinal": 1_000, "parked": 2, "discarded": 2}
SCAN_FIELDS_ELSE = 50
# Fields of `text`, of some 7 kB each, and ranges of bitmaps, in one call.
CHUNKS_MAX = 64

_NO_LINES = b"\xff" * LINES

T = TypeVar("T")


class Members(NamedTuple):
    """Some members of a sorted set."""

    name: str
    ordinals: Sequence[int]
    scores: Sequence[float]


class Script:
    def __init__(self, name: str) -> None:
        self.text = "#!lua flags=no-writes\n" + files(__package__).joinpath("lua", f"{name}.lua").read_text()
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


PICTURE, SETS, COUNTS = Script("picture"), Script("sets"), Script("counts")


class Streams:
    """Every method raises FatalError, and StoreUnavailable if `retry` does."""

    def __init__(self, store: Store, generation: Generation, retry: Retry) -> None:
        self.store = store
        self.generation = generation
        self.retry = retry

    def ask(self, shard: int, command: str, name: str, *arguments: Any) -> Any:
        """Returns the answer to a command on one key, named without the prefix."""
        key = self.generation.keys(shard).prefix + name
        return self.on(key, lambda client: client.execute_command(command, key, *arguments))

    def chunks(self, shard: int, start: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yields the number of each chunk of `text` in a range, and its lines."""
        for first in range(start, stop, CHUNKS_MAX):
            numbers = range(first, min(first + CHUNKS_MAX, stop))
            yield from zip(numbers, map(lines_of, self.ask(shard, "HMGET", "text", *numbers)), strict=True)

    def bitmaps(self, shard: int, names: Sequence[str], start: int, stop: int) -> dict[str, bytes]:
        """Returns the bits of a range of ordinals, both multiples of 8, of each bitmap."""
        prefix, size = self.generation.keys(shard).prefix, (stop - start) // 8
        found: list[bytes] = []
        for first in range(0, len(names), CHUNKS_MAX):

            def ranges(client: Any, some: Sequence[str] = names[first : first + CHUNKS_MAX]) -> list[bytes]:
                pipeline = client.pipeline(transaction=False)
                for name in some:
                    pipeline.getrange(prefix + name, start // 8, start // 8 + size - 1)
                return cast(list[bytes], pipeline.execute())

            found += self.on(prefix, ranges)
        return {name: bits.ljust(size, b"\0") for name, bits in zip(names, found, strict=True)}

    def members(self, shard: int, names: Sequence[str]) -> Iterator[Members | tuple[str, bytes, float]]:
        """Yields members of sorted sets, each set in one piece or several. A name, member and score alone: the member
        is not of four bytes. Some members may be missing that change meanwhile.
        """
        rank = 0
        while names:
            found = self.call(SETS, shard, rank, MEMBERS_MAX, *names)
            done, rank, counts, members, scores, odd = found
            ordinals = unpack(f">{len(members) // MEMBER_BYTES}I", members)
            all_scores = [float(score) for score in scores.split(b",")] if scores else []
            ends = [0]
            for count in counts:
                ends.append(ends[-1] + count)
            for name, (start, stop) in zip(names, pairwise(ends), strict=False):
                yield Members(name, ordinals[start:stop], all_scores[start:stop])
            for name, member, score in zip(odd[::3], odd[1::3], odd[2::3], strict=True):
                yield name.decode(), member, float(score)
            names = names[done:]

    def values(self, shard: int, field: str) -> Iterator[list[bytes]]:
        """Yields the values in `values:<field>`: some twice, maybe not those that change meanwhile."""
        for found in self._scan(
            lambda cursor: self.ask(shard, "ZSCAN", values_name(field), cursor, "COUNT", SCAN_KEYS)
        ):
            yield [value for value, _ in found]

    def wrong_counts(self, shard: int, field: str, values: Sequence[bytes]) -> Iterator[tuple[bytes, int, str]]:
        """Yields each value whose number of groups is not the one in `values:<field>`, both, the latter as a text."""
        for start in range(0, len(values), SCAN_KEYS):
            found = self.call(COUNTS, shard, field, *values[start : start + SCAN_KEYS])
            for value, groups, score in zip(found[::3], found[1::3], found[2::3], strict=True):
                yield value, groups, score.decode()

    def scan_keys(self) -> Iterator[tuple[int, bytes]]:
        """Yields shard and name of every key; some may come twice."""
        number = self.generation.number
        name_of = re.compile(rb"og:\{%d\.(\d+)\}:(.*)" % number, re.DOTALL)
        for client in self.retry(self.store.nodes.all):

            def step(cursor: int, client: Any = client) -> Any:
                with self.store.nodes.errors():
                    return client.scan(cursor, match=f"og:{{{number}.*}}:*", count=SCAN_KEYS)

            for keys in self._scan(lambda cursor: self.retry(partial(step, cursor))):
                for key in keys:
                    match = name_of.fullmatch(key)
                    if match and int(match[1]) < self.generation.shards:
                        yield int(match[1]), match[2]

    def fields(self, shard: int, name: str) -> Iterator[dict[bytes, bytes]]:
        """Yields fields and values of a hash: some twice, maybe not those that change meanwhile."""
        count = SCAN_FIELDS.get(name, SCAN_FIELDS_ELSE)
        return self._scan(lambda cursor: self.ask(shard, "HSCAN", name, cursor, "COUNT", count))

    def _scan(self, step: Callable[[int], Any]) -> Iterator[Any]:
        cursor = None
        while cursor != 0:
            cursor, found = step(cursor or 0)
            yield found

    def on(self, key: str, call: Callable[[Any], T]) -> T:
        def attempt() -> T:
            with self.store.nodes.errors():
                return call(self.store.nodes.of(key))

        return cast(T, self.retry(attempt))

    def call(self, script: Script, shard: int, *arguments: Any) -> list[Any]:
        keys = ("2", self.generation.keys(shard).position, self.generation.keys(shard).absent)

        def evaluate(client: Any) -> list[Any]:
            try:
                return cast(list[Any], client.execute_command("EVALSHA", script.sha, *keys, *arguments))
            except redis.exceptions.NoScriptError:
                return cast(list[Any], client.execute_command("EVAL", script.text, *keys, *arguments))

        return self.on(keys[1], evaluate)


def lines_of(chunk: bytes | None) -> list[bytes]:
    """Returns LINES lines. If the chunk has another number, or no end, the last one has all that is wrong."""
    lines = (chunk or _NO_LINES).split(b"\xff", LINES)
    rest = lines.pop() if len(lines) > LINES else b"\xff no end"
    lines += [b""] * (LINES - len(lines))
    if rest:
        lines[-1] += b"\xff" + rest
    return lines
