"""Reads the shards of a generation, in calls that each take Redis a millisecond or two."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import msgspec
import redis
from msgspec import Struct

from events.logs.log import Partition
from projector.errors import FatalError
from projector.fold.view import Entries
from projector.readmodel.schema.keys import ID_SLICES, SLICES, Generation
from projector.retry import Retry
from projector.store.redis import Store
from projector.verify.buckets import add_bits_of_ids, bits_found, is_bitmap
from projector.verify.snapshot import GroupSnapshot

SCRIPT = (
    "#!lua flags=no-writes\n"
    + "".join(files("projector.readmodel.schema").joinpath(f"{part}.lua").read_text() for part in ("lines", "ones"))
    + files(__package__).joinpath("picture.lua").read_text()
)
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

# Limits of one call: groups or names of parked records, look-ups of groups in indexes (one group may need more), sizes.
GROUPS_MAX = 25
ENTRIES_MAX = 500
SIZES_MAX = 500
# Counting the bits of a million groups takes Redis up to 40 microseconds.
BITMAPS_MAX = 50
# Keys, members and fields in one step of a scan. A field comes with its value: a parked record may take 1.4 MB, a
# document with a thousand orders 300 kB.
SCAN_KEYS = 1_000
SCAN_MEMBERS = 500
SCAN_FIELDS = 20
SCAN_PARKED = 2

# Versions of the read model: since BITS_SINCE with ordinals, bitmaps, and `text` by ordinal instead of group id; since
# SLICES_SINCE with today's buckets in the slices.
BITS_SINCE, SLICES_SINCE = 2, 6

Positions = dict[Partition, int]


class Answer(Struct, frozen=True):
    """Of one shard, all as of `positions`. `sizes` and `parked` align with the request; `snapshots` may have only the
    first of the groups. `ordinals`: their number, and the largest, or -1. `lines`: the number of lines in `text`.
    """

    positions: Positions
    snapshots: dict[str, GroupSnapshot]
    sizes: Sequence[int]
    parked: Sequence[bool]
    ordinals: tuple[int, float] = (0, -1)
    lines: int = 0


class Shards:
    """Every method raises FatalError, and StoreUnavailable if `retry` does."""

    def __init__(self, store: Store, generation: Generation, partitions: Sequence[Partition], retry: Retry) -> None:
        self.generation = generation
        self.has_bits = generation.version >= BITS_SINCE
        self._has_slices = generation.version >= SLICES_SINCE
        self._store = store
        self._partitions = {str(partition).encode(): partition for partition in partitions}
        self._retry = retry

    def read(
        self,
        shard: int,
        wanted: Mapping[str, Collection[str]] | None = None,
        documents: bool = True,
        sizes: Sequence[str] = (),
        parked: Sequence[str] = (),
    ) -> Answer:
        """Reads one shard in one call. `wanted`: group id -> the indexes in which the group is looked up, and their
        bitmaps. `documents`: whether the snapshots have row, rest, text and state. `sizes`, `parked`: names of keys to
        count, of parked records to look up.
        """
        wanted = wanted or {}
        ids = _fitting(wanted)
        indexes: dict[str, list[int]] = {}
        for number, group_id in enumerate(ids, 1):
            for name in wanted[group_id]:
                indexes.setdefault(name, []).append(number)
        listed = [(name, *numbers) for name, numbers in indexes.items()]
        slices, id_slices = (list(SLICES.items()), ID_SLICES) if self._has_slices else ([], 0)
        head = msgspec.msgpack.encode((documents, self.has_bits, listed, sizes, parked, slices, id_slices))
        found = self._call(shard, head, ids)
        if b"unfinished" in found[0][::2]:
            self._retry(partial(self._store.finish, self.generation, shard))
            found = self._call(shard, head, ids)
            if b"unfinished" in found[0][::2]:
                raise FatalError(
                    f"generation {self.generation.number} has a half-written commit: run the projector that writes it, "
                    "which finishes the commit"
                )
        ids = ids[: found[1]]
        entries: dict[str, Entries] = {group_id: {} for group_id in ids}
        for (name, numbers), scores in zip(indexes.items(), found[6], strict=True):
            for number, score in zip(numbers, scores, strict=False):
                if score is not None:
                    entries[ids[number - 1]][name] = float(score)
        bits = bits_found(ids, indexes, found[10], found[11])
        if self._has_slices:
            add_bits_of_ids(bits, found[12])
        if documents:
            parts = zip(ids, *found[2:6], strict=True)
            snapshots = {
                group_id: GroupSnapshot(row, rest, self._current_text(text), state, entries[group_id], bits[group_id])
                for group_id, row, rest, text, state in parts
            }
        else:
            snapshots = {group_id: GroupSnapshot(entries=entries[group_id], bits=bits[group_id]) for group_id in ids}
        ordinals = int(found[9][0]), float(found[9][1])
        is_parked = [bool(exists) for exists in found[8]]
        return Answer(self._positions(found[0]), snapshots, found[7], is_parked, ordinals, found[9][2])

    def snapshots(
        self, shard: int, wanted: Mapping[str, Collection[str]], documents: bool = True
    ) -> dict[str, GroupSnapshot]:
        """Returns snapshots of any number of groups, in as many calls, hence as of different positions."""
        found: dict[str, GroupSnapshot] = {}
        ids = list(wanted)
        while len(found) < len(ids):
            batch = ids[len(found) : len(found) + GROUPS_MAX]
            found |= self.read(shard, {group_id: wanted[group_id] for group_id in batch}, documents).snapshots
        return found

    def sets(self) -> Iterator[tuple[int, bytes]]:
        """Yields shard and name of every existing `of:*` and `bits:of:*`; some may come twice."""
        number, bits = self.generation.number, b"(?:bits:)?" if self.has_bits else b""
        name_of = re.compile(rb"og:\{%d\.(\d+)\}:(%bof:.*)" % (number, bits), re.DOTALL)
        for keys in self._scan_keys(f"og:{{{number}.*}}:*of:*"):
            for key in keys:
                match = name_of.fullmatch(key)
                if match and int(match[1]) < self.generation.shards:
                    yield int(match[1]), match[2]

    def members(self, shard: int, name: str) -> Iterator[list[bytes]]:
        """Yields members of a sorted set, or fields of a hash: some twice, maybe not those that change meanwhile."""
        key = self.generation.keys(shard).prefix + name
        sorted_set = name[2:3] == ":"
        count = SCAN_MEMBERS if sorted_set else SCAN_PARKED if name == "parked" else SCAN_FIELDS
        cursor = 0
        while True:

            def step(cursor: int = cursor) -> Any:
                with self._store.nodes.errors():
                    client = self._store.nodes.of(key)
                    return (
                        client.zscan(key, cursor, count=count) if sorted_set else client.hscan(key, cursor, count=count)
                    )

            cursor, found = self._retry(step)
            yield [member for member, _ in found] if sorted_set else list(found)
            if cursor == 0:
                return

    def _current_text(self, text: bytes | None) -> bytes | None:
        """Returns the text as lines.lua has it. Version 1 separated id and customer by another byte."""
        return text if self.has_bits or text is None else text.replace(b"\xff", b"\xfe")

    def _scan_keys(self, pattern: str) -> Iterator[list[bytes]]:
        nodes = self._store.nodes
        for client in self._retry(nodes.all):
            cursor = 0
            while True:

                def step(client: "redis.Redis" = client, cursor: int = cursor) -> Any:
                    with nodes.errors():
                        return client.scan(cursor, match=pattern, count=SCAN_KEYS)

                cursor, found = self._retry(step)
                yield found
                if cursor == 0:
                    break

    def _call(self, shard: int, head: bytes, ids: Sequence[str]) -> list[Any]:
        keys = self.generation.keys(shard)

        def evaluate(command: str, script: str) -> Callable[[], Any]:
            def call() -> Any:
                with self._store.nodes.errors():
                    client = self._store.nodes.of(keys.position)
                    arguments = (keys.position, keys.absent, head, *ids)
                    return client.execute_command(command, script, 2, *arguments)  # type: ignore[no-untyped-call]

            return call

        try:
            found = self._retry(evaluate("EVALSHA", SHA))
        except redis.exceptions.NoScriptError:
            found = self._retry(evaluate("EVAL", SCRIPT))
        return cast(list[Any], found)

    def _positions(self, flat: Sequence[bytes]) -> Positions:
        """Returns 0 for a partition of which nothing is applied. Without partitions no positions are wanted."""
        positions = dict.fromkeys(self._partitions.values(), 0)
        for name, offset in zip(flat[::2], flat[1::2], strict=True):
            if name == b"redriven" or not self._partitions:
                continue
            partition = self._partitions.get(name)
            if partition is None:
                raise FatalError(
                    f"generation {self.generation.number} has a position of {name.decode()}, which the log lacks"
                )
            positions[partition] = int(offset)
        return positions


def count_batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Splits names, at most SIZES_MAX, into batches that one call can count."""
    bitmaps = [name for name in names if is_bitmap(name)]
    for start in range(0, len(bitmaps), BITMAPS_MAX):
        yield bitmaps[start : start + BITMAPS_MAX]
    if len(bitmaps) < len(names):
        yield [name for name in names if not is_bitmap(name)]


def lowest_positions(shards: Shards) -> Positions:
    """Returns what every shard has applied."""
    found = [shards.read(shard).positions for shard in range(shards.generation.shards)]
    return {partition: min(positions[partition] for positions in found) for partition in found[0]}


def _fitting(wanted: Mapping[str, Collection[str]]) -> list[str]:
    """As many groups as one call can read up."""
    ids: list[str] = []
    entries = 0
    for group_id, names in wanted.items():
        entries += len(names)
        if ids and entries > ENTRIES_MAX:
            break
        ids.append(group_id)
    return ids
