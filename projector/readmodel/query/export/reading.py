"""Reads the groups of a selection in order of arrival, some hundred at a time, each as it is then.

Between two calls nothing is held but what was read and is not passed on yet: GROUPS_MAX groups, and READ_BYTES with one
record of each shard beyond that.
"""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.export.selection import Arrival, Selection
from projector.readmodel.query.lua.scripts import ROWS
from projector.readmodel.schema.columns import row_json
from projector.readmodel.schema.ordinals import member_of

# Groups that are asked for at once, of all shards together.
GROUPS_MAX = 256
# Of rows and records that one round reads, all shards together. They become some times as many bytes of JSON.
READ_BYTES = 256 * 1024


class Some(Struct, frozen=True):
    """Consecutive groups of a selection. `rows`: JSON objects of the default fields; `records`, if these are wanted, of
    the same groups. `vanished`: how many are no longer listed, and left out.
    """

    rows: Sequence[bytes]
    records: Sequence[bytes]
    vanished: int


async def read(reader: Reader, selection: Selection, *, has_records: bool) -> AsyncGenerator[Some]:
    """Raises Unavailable, also if the generation is deleted meanwhile; ReadModelFault."""
    live = selection.live
    if live is None:
        return
    reading = Reading(selection, has_records=has_records)
    while not reading.is_done:
        slots = live.slots[: len(live.shards)]
        reading.take(await reader.calls(reading.commands(live), slots, ROWS, None))
        yield reading.passed_on()


class Reading:
    """`commands` says what to call, `take` takes the answers, `passed_on` returns what is complete: once a round each,
    until `is_done`. Pure.
    """

    def __init__(self, selection: Selection, *, has_records: bool) -> None:
        self._has_records = has_records
        self._left = selection.arrivals()
        self._next: deque[Arrival] = deque(islice(self._left, GROUPS_MAX))
        shards = len(selection.bits)
        self._asked: list[list[int]] = [[] for _ in range(shards)]
        # Of each shard what was read, and comes after a group of another shard that was not.
        self._read: list[deque[tuple[bytes | None, bytes | None]]] = [deque() for _ in range(shards)]

    @property
    def is_done(self) -> bool:
        return not self._next

    def commands(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard. Of a shard of which something is left from before, nothing."""
        self._asked = [[] for _ in live.shards]
        for ordinal, shard in self._next:
            if not self._read[shard]:
                self._asked[shard].append(ordinal)
        most = READ_BYTES // max(1, sum(map(bool, self._asked)))
        commands: list[Command] = []
        for keys, ordinals in zip(live.shards, self._asked, strict=True):
            names = keys.row, keys.record, keys.position
            arguments = live.generation.nonce, str(int(self._has_records)), str(most)
            members = b"".join(map(member_of, ordinals))
            commands.append(ROWS.call(keys, names, *arguments, members) if ordinals else NOTHING)
        return commands

    def take(self, replies: Sequence[object]) -> None:
        """Raises Unavailable if the generation is not there."""
        for read, ordinals, reply in zip(self._read, self._asked, replies, strict=True):
            if ordinals and reply is None:
                raise Unavailable("the generation was deleted while it was exported")
            if ordinals:
                rows, records = cast(tuple[list[bytes | None], list[bytes | None]], reply)
                read.extend(zip(rows, records, strict=True))

    def passed_on(self) -> Some:
        rows: list[bytes] = []
        records: list[bytes] = []
        vanished = 0
        while self._next and self._read[self._next[0][1]]:
            _, shard = self._next.popleft()
            row, record = self._read[shard].popleft()
            if row is None:
                vanished += 1
                continue
            rows.append(row_json(row))
            if record is not None:
                records.append(record)
        self._next.extend(islice(self._left, GROUPS_MAX - len(self._next)))
        return Some(rows, records, vanished)
