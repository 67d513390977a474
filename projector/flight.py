"""What a batch is on its way through the pipeline."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from events.logs.log import Partition
from projector.project import Decoded, Fate, Known
from projector.store.commit import Advance
from projector.store.sent import Asked, Sent

# `orders/0` -> records by fate.
Tally = Mapping[str, Mapping[Fate, int]]


class Next(Struct):
    """A decoded batch. `asked`: for the states of those of its groups that are neither cached nor under way."""

    decoded: Sequence[Decoded]
    asked: Sequence[Asked]


class Projected(Struct):
    """A shard's part of a batch, ready to be sent; `after`: what is known of its groups once it is stored.

    `parked`: position -> JSON. `tally`: what has become of its records by then.
    """

    shard: int
    items: Sequence[Decoded]
    advances: Mapping[Partition, Advance]
    request: list[str | bytes]
    after: dict[str, Known]
    parked: dict[str, bytes]
    tally: Tally


class Flight(Struct):
    projected: Projected
    sent: Sent
