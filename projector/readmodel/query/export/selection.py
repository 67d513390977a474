"""All groups that match a query, as of one snapshot, and the order in which they are read. Pure."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import repeat

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.bits import ordinals
from projector.readmodel.query.positions import Positions, Snapshot

# Ordinal, number of the shard: the order of arrival.
Arrival = tuple[int, int]


class Selection(Struct, frozen=True):
    """`bits`: of each shard of `live`, a bit for each ordinal. `live`: None while no generation is live."""

    count: int
    bits: Sequence[bytes]
    live: ActiveGeneration | None
    snapshot: Snapshot

    @property
    def positions(self) -> Positions:
        return self.snapshot.positions

    def arrivals(self) -> Iterator[Arrival]:
        return heapq.merge(*(zip(ordinals(bits), repeat(shard)) for shard, bits in enumerate(self.bits)))
