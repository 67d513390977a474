"""Store: the write side's access to generations in Redis, and the commit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import structlog

from events.logs.log import Partition
from projector.anchors import Anchors, unpacked
from projector.errors import FatalError, OtherVersion
from projector.personal_data import check_setting
from projector.project import Change, Known, Stored, known, new
from projector.readmodel.schema.generations import POISON_PILLS
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store import memory
from projector.store.aof import AppendOnlyFiles, OnRewrite
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.store.opening import open_shard
from projector.store.ordinals import Ordinals
from projector.store.pending import OnOutcome, PendingCommit, PendingLoad
from projector.store.request import request

# Removes only the seal that was read: another holder may have set its own since.
_UNSEAL = """#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'sealed') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'sealed')
end
"""
# With the time of Redis' clock, which the API compares with. allow-oom: readers need it even at maxmemory.
_PUBLISH_END = """#!lua flags=allow-oom
redis.call('HSET', KEYS[1], unpack(ARGV))
local now = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
"""
# One script, so that positions and anchors are of one snapshot.
_STANDS = """#!lua flags=no-writes
return {redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV))}
"""

log = structlog.get_logger("projector")


class Store:
    """Methods raise StoreUnavailable when Redis does not answer, or refuses for now.

    `answered` receives each commit's outcome, and the seconds from sending it to reading the answer. `rewritten`: see
    AppendOnlyFiles.
    """

    def __init__(
        self,
        nodes: Nodes,
        answered: OnOutcome = lambda outcome, seconds: None,
        rewritten: OnRewrite = lambda rewrite: None,
    ) -> None:
        self.nodes = nodes
        self._answered = answered
        self.catalogue = Catalogue(nodes)
        self.ordinals = Ordinals(nodes)
        self._files = AppendOnlyFiles(nodes, rewritten)

    def rewrite_files(self) -> list[str]:
        """See AppendOnlyFiles.refresh."""
        return self._files.refresh()

    def check_eviction(self) -> None:
        """Raises FatalError where Redis may evict keys: a position would outlive its documents."""
        for server, policy in memory.eviction(self.nodes):
            if policy is None:
                log.warning("cannot read maxmemory-policy, expected noeviction", server=server)
            elif policy != "noeviction":
                raise FatalError(
                    f"Redis at {server}: expected maxmemory-policy noeviction, found {policy}, which would evict "
                    "parts of the read model unnoticed: CONFIG SET maxmemory-policy noeviction, also in redis.conf"
                )

    def generation(self, shards: int = 1, personal_data: bool = True) -> Generation:
        """Returns the live generation, open for writing; creates one if there is none. Raises FatalError."""
        while True:
            generation = self.catalogue.ensure_live(shards, personal_data)
            if generation.version != VERSION:
                raise OtherVersion(
                    f"the read model in Redis has version {generation.version}, this code writes version {VERSION}: "
                    "`projector replay`, or `projector run --auto-replay`, builds that version beside it and switches; "
                    "or run the code that made it"
                )
            check_setting(generation, personal_data)

            def is_live(opened: Generation = generation) -> bool:
                return self.catalogue.live() == opened

            self.open(generation, is_live)
            # Otherwise Redis was emptied meanwhile, and another process has created a generation with this number.
            if is_live():
                return generation

    def open(self, generation: Generation, is_ours: Callable[[], bool] = lambda: True) -> None:
        """Allows commits. A shard that was not opened, or lost everything, has no version, and answers BEHIND."""
        for shard in range(generation.shards):
            open_shard(self.nodes, generation, shard, is_ours)

    def is_open(self, generation: Generation) -> bool:
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            with self.nodes.errors():
                if not self.nodes.of(meta).hexists(meta, "version"):
                    return False
        return True

    def bind_log(self, generation: Generation, log: str) -> str:
        """Binds the generation to a log, if it is not bound yet. Returns the identity of the log it is bound to."""
        meta = generation.keys(0).meta
        with self.nodes.errors():
            client = self.nodes.of(meta)
            client.hsetnx(meta, "log", log)
        return self.log_of(generation) or log

    def log_of(self, generation: Generation) -> str | None:
        """Returns the identity of the log that the generation is bound to, if any."""
        meta = generation.keys(0).meta
        with self.nodes.errors():
            found = cast(bytes | None, self.nodes.of(meta).hget(meta, "log"))
        return found.decode() if found else None

    def seal(self, generation: Generation, holder: str) -> None:
        """Closes it: commits are refused as SEALED. `holder`: the token of a lease, which is unique."""
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            self.nodes.write_even_if_full(meta, "HSET", meta, "sealed", holder)

    def seals(self, generation: Generation) -> list[str | None]:
        """Returns the holder of each shard's seal, or None."""
        found = []
        for shard in range(generation.shards):
            meta = generation.keys(shard).meta
            with self.nodes.errors():
                holder = cast(bytes | None, self.nodes.of(meta).hget(meta, "sealed"))
            found.append(holder.decode() if holder else None)
        return found

    def unseal(self, generation: Generation, seals: Sequence[str | None]) -> None:
        """Removes the given seals, unless another holder has replaced them since."""
        for shard, holder in enumerate(seals):
            if holder is not None:
                meta = generation.keys(shard).meta
                with self.nodes.errors():
                    self.nodes.of(meta).eval(_UNSEAL, 1, meta, holder)

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        """Returns the next offset to apply of each partition; None where nothing has been applied yet."""
        key = generation.keys(shard).position
        with self.nodes.errors():
            return _offsets(key, self.nodes.of(key).hmget(key, [str(partition) for partition in partitions]))

    def positions_and_anchors(
        self, generation: Generation, shard: int, partitions: Sequence[Partition]
    ) -> list[tuple[int | None, Anchors | None]]:
        """Returns the position of each partition, and the anchors that belong to it, if any."""
        keys, names = generation.keys(shard), [str(partition) for partition in partitions]
        if not names:
            return []
        with self.nodes.errors():
            client = self.nodes.of(keys.position)
            stored, lasts = cast(Any, client.eval(_STANDS, 2, keys.position, keys.last, *names))
        positions = _offsets(keys.position, stored)
        return [(at, unpacked(last, at)) for at, last in zip(positions, lasts, strict=True)]

    def mark_diverged(self, generation: Generation, reasons: Mapping[Partition, str]) -> None:
        """Stores why these partitions stopped, for the API, which does not read the log."""
        key = generation.keys(0).diverged
        for partition, reason in reasons.items():
            self.nodes.write_even_if_full(key, "HSET", key, str(partition), reason)

    def unmark_diverged(self, generation: Generation, partitions: Sequence[Partition]) -> None:
        key = generation.keys(0).diverged
        if partitions:
            self.nodes.write_even_if_full(key, "HDEL", key, *map(str, partitions))

    def tallied(self, generation: Generation, shard: int, names: Sequence[str]) -> list[int]:
        """Returns numbers of the tally by name, such as `orders/0:parked`; 0 where there is none."""
        key = generation.keys(shard).tally
        with self.nodes.errors():
            found = self.nodes.of(key).hmget(key, list(names)) if names else []  # HMGET needs a name.
        return [int(number or 0) for number in found]

    def poison_pills(self, generation: Generation) -> frozenset[str]:
        """Returns the positions of poison pills in the generation's log."""
        with self.nodes.errors():
            found = cast(set[bytes], self.nodes.of(POISON_PILLS).smembers(POISON_PILLS))
        noted = [one.decode().split(" ", 1) for one in found]
        log = (self.log_of(generation) or "-") if noted else ""
        return frozenset(position for of_log, position in noted if of_log == log)

    def note_poison_pills(self, command: str, generation: Generation, positions: Sequence[str]) -> None:
        """`command`: SADD or SREM. Entries carry the log's identity: positions are ambiguous between logs."""
        log = self.log_of(generation) or "-"
        if positions:
            members = [f"{log} {position}" for position in positions]
            self.nodes.write_even_if_full(POISON_PILLS, command, POISON_PILLS, *members)

    def publish_end(self, generation: Generation, end: Mapping[Partition, int]) -> None:
        """Stores the log's end, for the API, which does not read the log."""
        keys = generation.keys(0)
        arguments = [part for partition, offset in end.items() for part in (str(partition), offset)]
        with self.nodes.errors():
            self.nodes.of(keys.end).eval(_PUBLISH_END, 2, keys.end, keys.end_at, *arguments)

    def load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> Mapping[str, Stored | None]:
        """Returns the groups, read in one round trip; None for a new one."""
        return self.start_load(generation, shard, group_ids).groups()

    def start_load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> PendingLoad:
        return PendingLoad(self.nodes, generation.keys(shard), group_ids)

    def known(self, generation: Generation, shard: int, stored: Mapping[str, Stored | None]) -> dict[str, Known]:
        """Returns the groups for the fold. New ones get ordinals."""
        return {
            group_id: known(group_id, found) if found else new(self.ordinals.take(generation, shard))
            for group_id, found in stored.items()
        }

    def commit(
        self, generation: Generation, shard: int, request: Sequence[str | bytes], even_if_full: bool = False
    ) -> PendingCommit:
        """`even_if_full`: also at maxmemory, to free memory."""
        arguments = [*request, generation.nonce]
        return PendingCommit(self.nodes, generation.keys(shard), arguments, self._answered, even_if_full)

    def finish(self, generation: Generation, shard: int) -> None:
        """Completes a commit that was left half written, if there is one."""
        note = generation.keys(shard).note
        with self.nodes.errors():
            is_left = self.nodes.of(note).exists(note)
        if is_left:
            self.commit(generation, shard, request(Change(), {})).outcome()


def _offsets(key: str, stored: Sequence[bytes | str | None]) -> list[int | None]:
    try:
        return [None if offset is None else int(offset) for offset in stored]
    except ValueError:
        raise FatalError(f"{key} in Redis: expected offsets, got {stored!r}") from None
