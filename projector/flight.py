"""The stages of a batch in the pipeline: Loading, Projected, Flight."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from events.logs.log import Partition
from projector.project import Decoded, Known
from projector.readmodel.schema.tally import Fate
from projector.store.commit import Advance
from projector.store.pending import PendingCommit, PendingLoad

# `orders/0` -> records by fate.
Tally = Mapping[str, Mapping[Fate, int]]


class Loading(Struct):
    """A decoded batch, and the loads of those of its groups that are neither cached nor in flight."""

    decoded: Sequence[Decoded]
    loads: Sequence[PendingLoad]


class Projected(Struct):
    """One shard's part of a batch, ready to be sent.

    Once it is stored, `after` holds its groups as Redis has them, and `tally` its records by fate.
    `parked`: position -> JSON.
    """

    shard: int
    items: Sequence[Decoded]
    advances: Mapping[Partition, Advance]
    request: list[str | bytes]
    after: dict[str, Known]
    parked: dict[str, bytes]
    tally: Tally


class Flight(Struct):
    """A part that was sent, and whose outcome is not read yet."""

    projected: Projected
    sent: PendingCommit
