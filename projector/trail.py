"""The anchors of one generation's positions, as they are once what is under way is stored."""

from collections.abc import Mapping, Sequence

from events.logs.log import Partition
from projector.anchors import Anchor, Last, follow
from projector.store.commit import Advance


class Trail:
    """For each shard and partition, what is stored next to the position."""

    def __init__(self, shards: int) -> None:
        self._lasts: list[dict[Partition, Last | None]] = [{} for _ in range(shards)]

    def start(
        self, shard: int, partitions: Sequence[Partition], stands: Sequence[tuple[int | None, Last | None]]
    ) -> dict[Partition, int | None]:
        """From what is stored. Returns the positions."""
        self._lasts[shard].update({p: last for p, (_, last) in zip(partitions, stands, strict=True)})
        return {p: position for p, (position, _) in zip(partitions, stands, strict=True)}

    def advances(
        self,
        shard: int,
        heads: Mapping[Partition, int | None],
        reached: Mapping[Partition, int],
        anchors: Mapping[Partition, Anchor],
    ) -> dict[Partition, Advance]:
        """From `heads` to `reached`, for partitions where that is ahead. `anchors`: of the newest records before it."""
        found = {}
        lasts = self._lasts[shard]
        for partition, stop in reached.items():
            if stop > (heads[partition] or 0):
                last = lasts[partition] = follow(lasts.get(partition), anchors.get(partition), stop)
                found[partition] = Advance(heads[partition], stop, last)
        return found
