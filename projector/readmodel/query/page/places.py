"""Ids and scores of groups that select.lua tells as bits: looked up after it, some at a time, for each takes Redis
several microseconds. Pure.
"""

from collections.abc import Sequence
from typing import cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.query.lua.scripts import PLACES
from projector.readmodel.query.page.known import Known, Placed

# Groups that one call looks up.
SLICE_GROUPS = 150


class Places:
    """`slices` says what to ask, `take` takes the answers; both once a round, until `is_done`. Then all are in `known`,
    one for each shard, but those that have left the list; none if another generation is live.
    """

    def __init__(self, known: Sequence[Known], sort: str) -> None:
        self._known = known
        self._sort = sort
        self._left = [one.unplaced for one in known]

    @property
    def is_done(self) -> bool:
        return not any(self._left)

    def slices(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard."""
        if live.generation != self._known[0].generation or not self._left:
            self._left = []
            return [NOTHING] * len(live.shards)
        return [
            PLACES.call(keys, (keys.ordinal, keys.by(self._sort)), *map(str, left[:SLICE_GROUPS])) if left else NOTHING
            for left, keys in zip(self._left, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for n, (known, left) in enumerate(zip(self._known, self._left, strict=False)):
            if left:
                ids, scores = cast(tuple[list[bytes], list[bytes | None]], replies[n])
                for ordinal, group_id, score in zip(left[:SLICE_GROUPS], ids, scores, strict=True):
                    if score is not None:
                        known.places[ordinal] = Placed(group_id, score)
                self._left[n] = left[SLICE_GROUPS:]
