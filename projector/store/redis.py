"""The write side's view of the generations: what is stored, and the commit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import structlog

from events.logs.log import Partition
from projector.anchors import Last, unpacked
from projector.errors import CannotGoOn, OtherVersion
from projector.project import Change
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.generations import POISON_PILLS
from projector.readmodel.schema.keys import Generation
from projector.store import memory
from projector.store.aof import AppendOnlyFiles, Counted
from projector.store.catalogue import Catalogue
from projector.store.commit import SCRIPT, Outcome, request
from projector.store.nodes import Nodes
from projector.store.opening import open_shard
from projector.store.sent import Answered, Asked, Sent

# Only what was seen: another holder may have sealed it since.
_UNSEAL = """#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'sealed') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'sealed')
end
"""
# By the clock of Redis, which the API asks as well. It is told on, also where Redis takes nothing else any more.
_TELL_END = """#!lua flags=allow-oom
redis.call('HSET', KEYS[1], unpack(ARGV))
local now = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
"""
# Both of one snapshot: the generation may be written meanwhile.
_STANDS = """#!lua flags=no-writes
return {redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV))}
"""

_EVEN_IF_FULL = SCRIPT.replace("#!lua", "#!lua flags=allow-oom", 1)

log = structlog.get_logger("projector")


class Store:
    """Every method raises StoreUnavailable when Redis does not answer, or refuses for a while.

    `answered` is told of every commit: the outcome, and the seconds from sending it to reading that. `rewritten`: see
    AppendOnlyFiles.
    """

    def __init__(
        self,
        nodes: Nodes,
        answered: Answered = lambda outcome, seconds: None,
        rewritten: Counted = lambda rewrite: None,
    ) -> None:
        self.nodes = nodes
        self._answered = answered
        self.catalogue = Catalogue(nodes)
        self._files = AppendOnlyFiles(nodes, rewritten)

    def rewrite_files(self) -> list[str]:
        """Has each master rewrite its append-only file where that is due, and returns what is still waited for."""
        return self._files.look()

    def check_eviction(self) -> None:
        """Raises CannotGoOn where Redis may throw away what we wrote: a position would outlive its documents."""
        for server, policy in memory.eviction(self.nodes):
            if policy is None:
                log.warning("Redis does not say what it does at maxmemory; expected noeviction", server=server)
            elif policy != "noeviction":
                raise CannotGoOn(
                    f"Redis at {server}: expected maxmemory-policy noeviction, found {policy}, which would throw away "
                    "parts of the read model unseen: CONFIG SET maxmemory-policy noeviction, and in its configuration"
                )

    def generation(self, shards: int = 1) -> Generation:
        """The live one, open for writing; made, of that many shards, if there is none. Raises OtherVersion."""
        while True:
            generation = self.catalogue.ensure_live(shards)
            if generation.version != VERSION:
                raise OtherVersion(
                    f"the read model in Redis has version {generation.version}, this code writes version {VERSION}: "
                    "`projector replay` builds that beside it and switches, as `projector run --auto-replay` does at "
                    "once; or run the code that made it"
                )

            def is_live(opened: Generation = generation) -> bool:
                return self.catalogue.live() == opened

            self.open(generation, is_live)
            # Else Redis was emptied meanwhile, and another process has made one with the same number.
            if is_live():
                return generation

    def open(self, generation: Generation, is_ours: Callable[[], bool] = lambda: True) -> None:
        """Lets it be written. Without its version a shard answers BEHIND, as one that lost everything should."""
        for shard in range(generation.shards):
            open_shard(self.nodes, generation, shard, is_ours)

    def is_open(self, generation: Generation) -> bool:
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            with self.nodes.errors():
                if not self.nodes.of(meta).hexists(meta, "version"):
                    return False
        return True

    def belongs_to(self, generation: Generation, log: str) -> str:
        """Whose events it holds, by the identity of the log: ours, if nobody has said so before."""
        meta = generation.keys(0).meta
        with self.nodes.errors():
            client = self.nodes.of(meta)
            client.hsetnx(meta, "log", log)
        return self.log_of(generation) or log

    def log_of(self, generation: Generation) -> str | None:
        """The identity of the log whose events it holds; None where nobody has said so."""
        meta = generation.keys(0).meta
        with self.nodes.errors():
            found = cast(bytes | None, self.nodes.of(meta).hget(meta, "log"))
        return found.decode() if found else None

    def seal(self, generation: Generation, holder: str) -> None:
        """From here on every commit to it is refused as SEALED. `holder`: the token of a lease, which is unique."""
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            self.nodes.keep_book(meta, "HSET", meta, "sealed", holder)

    def seals(self, generation: Generation) -> list[str | None]:
        """Whose seal each shard has, if it has one."""
        found = []
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            with self.nodes.errors():
                holder = cast(bytes | None, self.nodes.of(meta).hget(meta, "sealed"))
            found.append(holder.decode() if holder else None)
        return found

    def unseal(self, generation: Generation, seals: Sequence[str | None]) -> None:
        """Lifts those that were seen. One that another holder has put in their place since is no business of ours."""
        for shard, holder in enumerate(seals):
            if holder is not None:
                meta = generation.keys(shard).meta
                with self.nodes.errors():
                    self.nodes.of(meta).eval(_UNSEAL, 1, meta, holder)

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        """The next offset to apply, for each partition; None where nothing has been applied yet."""
        key = generation.keys(shard).position
        with self.nodes.errors():
            return _offsets(key, self.nodes.of(key).hmget(key, [str(partition) for partition in partitions]))

    def stands(
        self, generation: Generation, shard: int, partitions: Sequence[Partition]
    ) -> list[tuple[int | None, Last | None]]:
        """The position of each partition, and the anchors of that position where they are known."""
        keys, names = generation.keys(shard), [str(partition) for partition in partitions]
        if not names:
            return []
        with self.nodes.errors():
            client = self.nodes.of(keys.position)
            stored, lasts = cast(Any, client.eval(_STANDS, 2, keys.position, keys.last, *names))
        positions = _offsets(keys.position, stored)
        return [(at, unpacked(last, at)) for at, last in zip(positions, lasts, strict=True)]

    def mark_diverged(self, generation: Generation, reasons: Mapping[Partition, str]) -> None:
        """For the API, which cannot compare with the log: why nothing of these partitions is applied any more."""
        key = generation.keys(0).diverged
        for partition, reason in reasons.items():
            self.nodes.keep_book(key, "HSET", key, str(partition), reason)

    def unmark_diverged(self, generation: Generation, partitions: Sequence[Partition]) -> None:
        key = generation.keys(0).diverged
        if partitions:
            self.nodes.keep_book(key, "HDEL", key, *map(str, partitions))

    def tallied(self, generation: Generation, shard: int, names: Sequence[str]) -> list[int]:
        """The numbers of these names in the tally, such as `orders/0:parked`; 0 where there is none."""
        key = generation.keys(shard).tally
        with self.nodes.errors():
            found = self.nodes.of(key).hmget(key, list(names))
        return [int(number or 0) for number in found]

    def poison_pills(self, generation: Generation) -> frozenset[str]:
        """Positions in its log of events that killed who read them."""
        with self.nodes.errors():
            found = cast(set[bytes], self.nodes.of(POISON_PILLS).smembers(POISON_PILLS))
        noted = [one.decode().split(" ", 1) for one in found]
        log = (self.log_of(generation) or "-") if noted else ""
        return frozenset(position for of_log, position in noted if of_log == log)

    def keep_deadly(self, command: str, generation: Generation, positions: Sequence[str]) -> None:
        """`command`: SADD or SREM. In another log the same positions are those of other events."""
        log = self.log_of(generation) or "-"
        if positions:
            self.nodes.keep_book(POISON_PILLS, command, POISON_PILLS, *(f"{log} {position}" for position in positions))

    def tell_end(self, generation: Generation, end: Mapping[Partition, int]) -> None:
        """For the API, which cannot ask the log: where it ended a moment ago."""
        keys = generation.keys(0)
        told: list[str | int] = []
        for partition, offset in end.items():
            told += str(partition), offset
        with self.nodes.errors():
            self.nodes.of(keys.end).eval(_TELL_END, 2, keys.end, keys.end_at, *told)

    def load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> Mapping[str, bytes | None]:
        """The states, in one round trip."""
        return self.ask(generation, shard, group_ids).states()

    def ask(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> Asked:
        return Asked(self.nodes, generation.keys(shard).state, group_ids)

    def commit(self, generation: Generation, shard: int, request: Sequence[str | bytes]) -> Sent:
        return Sent(self.nodes, generation.keys(shard), [*request, generation.nonce], self._answered)

    def finish(self, generation: Generation, shard: int) -> None:
        """Writes what a commit that failed halfway has left unwritten. Looks only, where there is no such commit."""
        note = generation.keys(shard).note
        with self.nodes.errors():
            is_left = self.nodes.of(note).exists(note)
        if is_left:
            self.commit(generation, shard, request(Change(), {})).outcome()

    def commit_even_if_full(self, generation: Generation, shard: int, request: Sequence[str | bytes]) -> Outcome:
        """For what frees memory. The same script, which a Redis at its limit takes, too."""
        keys, outcome = generation.keys(shard), Outcome.FINISHED
        while outcome is Outcome.FINISHED:
            with self.nodes.errors():
                client = self.nodes.of(keys.meta)
                arguments = (keys.meta, keys.absent, *request, generation.nonce)
                answer = cast(list[bytes], client.eval(_EVEN_IF_FULL, 2, *arguments))
            outcome = Outcome(answer[0].decode())
        return outcome


def _offsets(key: str, stored: Sequence[bytes | str | None]) -> list[int | None]:
    try:
        return [None if offset is None else int(offset) for offset in stored]
    except ValueError:
        raise CannotGoOn(f"{key} in Redis: expected offsets, got {stored!r}") from None
