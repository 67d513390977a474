"""The commands of Redis that tests/readmodel.py reads with, on the simulated memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.chaos.simulation.store import Memory, Shard


class Reader:
    def __init__(self, memory: Memory) -> None:
        self._shards = {f"og:{{{number}.{shard}}}:": part for (number, shard), part in memory.shards.items()}

    def _find(self, key: str) -> tuple[Shard, str]:
        prefix, _, name = key.partition("}:")
        return self._shards.get(prefix + "}:", Shard()), name

    def scan_iter(self, match: str, count: int, _type: str) -> Iterator[bytes]:
        part, start = self._find(match.removesuffix("*"))
        prefix = match.partition("}:")[0] + "}:"
        kinds: dict[str, Mapping[str, Any]] = {"HASH": part.hashes, "ZSET": part.sets, "STRING": part.bits}
        yield from (
            (prefix + name).encode() for name, value in kinds[_type].items() if value and name.startswith(start)
        )

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        part, name = self._find(key)
        numbers = {"position": part.position, "tally": part.tally}
        if name in numbers:
            return {field.encode(): b"%d" % number for field, number in numbers[name].items()}
        return dict(part.fields(name))

    def hget(self, key: str, field: str) -> bytes | None:
        return self.hgetall(key).get(field.encode())

    def hlen(self, key: str) -> int:
        return len(self.hgetall(key))

    def zrange(self, key: str, start: int, stop: int, withscores: bool) -> list[tuple[bytes, float]]:
        part, name = self._find(key)
        assert (start, stop, withscores) == (0, -1, True)
        return sorted(part.members(name).items(), key=lambda pair: (pair[1], pair[0]))

    def get(self, key: str) -> bytes | None:
        part, name = self._find(key)
        if name == "ordinals":
            return b"%d" % part.ordinals if part.ordinals else None
        return bytes(part.bits[name]) if name in part.bits else None

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]
