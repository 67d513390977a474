"""Writes the lines that `q` searches, and the commits that changed them, without the projector and the API."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import cast

from redis import Redis
from redis.cluster import RedisCluster

from tests.integration.seed import VERSION

LINES = 128
KEPT_COMMITS = 4096


def generation(number: int, shards: int, version: int = VERSION) -> dict[str, object]:
    return {"number": number, "shards": shards, "version": version, "nonce": f"nonce {number}"}


def make_live(client: "Redis | RedisCluster", number: int, shards: int) -> None:
    client.set("og:live", json.dumps(generation(number, shards)))


def list_generation(
    client: "Redis | RedisCluster", number: int, shards: int, state: str, version: int = VERSION
) -> None:
    entry = {"generation": generation(number, shards, version), "state": state, "made_at": "2026-06-01T10:00:00Z"}
    client.hset("{og:live}:generations", str(number), json.dumps(entry))


class Lines:
    """The lines of a shard by their ordinals, as of its last commit; `history`: as of each commit, by its number."""

    def __init__(self, client: "Redis | RedisCluster", number: int = 1, shard: int = 0) -> None:
        self._client = client
        self.prefix = f"og:{{{number}.{shard}}}:"
        self.now: dict[int, bytes] = {}
        self.number, self.digest = 0, ""
        self.history: list[dict[int, bytes]] = [{}]
        client.hset(self.prefix + "position", "orders/0", "1")

    def commit(self, *commits: Mapping[int, bytes]) -> None:
        """In one transaction. Lines by ordinals; empty ones are of groups that are not listed any more."""
        with self._client.pipeline() as pipe:
            for changed in commits:
                self._note(changed)
                self._write(pipe, changed)
            pipe.execute()

    def tear(self, changed: Mapping[int, bytes]) -> None:
        """Writes all of a commit but its lines, as one that failed in the middle."""
        self._note(changed)
        self._client.zadd(self.prefix + "changed", {self._entry(changed): self.number})
        self._client.hset(self.prefix + "position", "unfinished", "1")

    def redo(self, changed: Mapping[int, bytes]) -> None:
        """Writes all of the torn commit again."""
        with self._client.pipeline() as pipe:
            self._write(pipe, changed)
            pipe.hdel(self.prefix + "position", "unfinished")
            pipe.execute()

    def lose(self, number: int) -> None:
        """Puts Redis back to what it was after a commit, as a failover that loses the later ones."""
        lost = {ordinal for ordinal in self.now if self.history[number].get(ordinal, b"") != self.now[ordinal]}
        self.now, self.number = dict(self.history[number]), number
        del self.history[number + 1 :]
        self._client.zremrangebyscore(self.prefix + "changed", f"({number}", "+inf")
        newest = cast(list[bytes], self._client.zrange(self.prefix + "changed", -1, -1))
        self.digest = newest[0].split(b":")[1].decode() if newest else ""
        with self._client.pipeline() as pipe:
            self._put(pipe, lost)
            pipe.execute()

    def naive(self, needle: bytes, number: int | None = None) -> set[int]:
        """The ordinals of the lines with the needle, now or as of a commit."""
        lines = self.now if number is None else self.history[number]
        return {ordinal for ordinal, line in lines.items() if needle in line}

    def _note(self, changed: Mapping[int, bytes]) -> None:
        self.now.update(changed)
        self.history.append(dict(self.now))
        self.number += 1
        content = repr(sorted(changed.items()))
        self.digest = hashlib.sha1((self.digest + content).encode()).hexdigest()[:16]

    def _entry(self, changed: Iterable[int]) -> bytes:
        members = b"".join(ordinal.to_bytes(4, "big") for ordinal in changed)
        return f"{self.number}:{self.digest}:".encode() + members

    def _write(self, pipe: "Redis | RedisCluster", changed: Mapping[int, bytes]) -> None:
        self._put(pipe, changed)
        pipe.zadd(self.prefix + "changed", {self._entry(changed): self.number})
        pipe.zremrangebyscore(self.prefix + "changed", "-inf", self.number - KEPT_COMMITS)
        pipe.set(self.prefix + "ordinals", (max(self.now, default=-1) // 256 + 1) * 256)

    def _put(self, pipe: "Redis | RedisCluster", ordinals: Iterable[int]) -> None:
        for chunk in {ordinal // LINES for ordinal in ordinals}:
            lines = [self.now.get(ordinal, b"") for ordinal in range(chunk * LINES, (chunk + 1) * LINES)]
            if any(lines):
                pipe.hset(self.prefix + "text", str(chunk), b"".join(line + b"\xff" for line in lines))
            else:
                pipe.hdel(self.prefix + "text", str(chunk))
