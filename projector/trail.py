"""The anchors of one generation's positions, including positions of commits in flight."""

from collections.abc import Mapping, Sequence

from events.logs.log import Partition
from projector.anchors import Anchor, Anchors, anchors_at
from projector.store.commit import Advance


class Trail:
    """Tracks the anchors to store next to the position of each shard and partition."""

    def __init__(self, shards: int) -> None:
        self._lasts: list[dict[Partition, Anchors | None]] = [{} for _ in range(shards)]

    def start(
        self, shard: int, partitions: Sequence[Partition], stored: Sequence[tuple[int | None, Anchors | None]]
    ) -> dict[Partition, int | None]:
        """Begins with what Redis has stored. Returns the positions."""
        self._lasts[shard].update({p: last for p, (_, last) in zip(partitions, stored, strict=True)})
        return {p: position for p, (position, _) in zip(partitions, stored, strict=True)}

    def advances(
        self,
        shard: int,
        starts: Mapping[Partition, int | None],
        stops: Mapping[Partition, int],
        anchors: Mapping[Partition, Anchor],
    ) -> dict[Partition, Advance]:
        """Returns advances of partitions whose stop is past the start. `anchors`: of the last records before stops."""
        found = {}
        lasts = self._lasts[shard]
        for partition, stop in stops.items():
            if stop > (starts[partition] or 0):
                last = lasts[partition] = anchors_at(lasts.get(partition), anchors.get(partition), stop)
                found[partition] = Advance(starts[partition], stop, last)
        return found
