"""Records of a page of whole documents that were too large to be in its answer. Pure.

Other commands run in between. After the records each call asks whether one of their groups was changed since the
answer: if so, the page is read anew.
"""

from collections.abc import Sequence
from typing import cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Block, Command
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.lua.scripts import CHANGED
from projector.readmodel.query.page.merge import Group, Reply
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.ordinals import member_of

# Of the records that one round reads, all shards together; that takes Redis and this process about a millisecond.
READ_BYTES = 1024 * 1024
RECORDS_MAX = 1000


class Records:
    """`commands` says what to call, `take` takes the answers, both once a round, until `is_done`. `groups`: the page.
    `replies`: of each shard.
    """

    def __init__(self, generation: Generation, groups: Sequence[Group], replies: Sequence[Reply]) -> None:
        self._generation = generation
        self._commits = [reply.commit for reply in replies]
        self._left = [group for group in groups if group.record is None]
        self._read: dict[tuple[int, int], bytes] = {}
        self._some: list[list[Group]] = []
        # The number of records of each shard that were read.
        self.read = [0] * len(replies)
        sizes = [len(record) for reply in replies for record in reply.records]
        self._at_once = max(1, min(READ_BYTES * len(sizes) // max(1, sum(sizes)), RECORDS_MAX))
        self.is_right = True

    @property
    def is_done(self) -> bool:
        return not self._left or not self.is_right

    def commands(self, live: ActiveGeneration) -> list[Command | Block]:
        """One for each shard; the same again until `take`. Their commits mean nothing in another generation."""
        if live.generation != self._generation:
            self._some = []
            return [NOTHING] * len(live.shards)
        self._some = [[] for _ in live.shards]
        for group in self._left[: self._at_once]:
            self._some[group.shard].append(group)
        commands: list[Command | Block] = []
        for keys, commit, groups in zip(live.shards, self._commits, self._some, strict=True):
            members = [member_of(group.ordinal) for group in groups]
            if not members:
                commands.append(NOTHING)
                continue
            changed = CHANGED.call(keys, (keys.position,), str(commit[0]), commit[1], b"".join(members))
            commands.append(Block((("HMGET", keys.record, *members), changed)))
        return commands

    def take(self, replies: Sequence[object]) -> None:
        """Raises ReadModelFault."""
        if not self._some:
            self.is_right = False
            return
        self._left = self._left[self._at_once :]
        for groups, reply in zip(self._some, replies, strict=True):
            if not groups:
                continue
            self.read[groups[0].shard] += len(groups)
            records, is_right = cast(tuple[list[bytes | None], int], reply)
            self.is_right = self.is_right and is_right == 1
            for group, record in zip(groups, records, strict=True):
                if record is not None:
                    self._read[group.shard, group.ordinal] = record
                elif self.is_right:
                    raise ReadModelFault(f"MISSING record of {group.ordinal} in shard {group.shard}")

    def record(self, group: Group) -> bytes:
        return group.record or self._read[group.shard, group.ordinal]
