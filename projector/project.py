"""The pure core of the projector: from events and the records of groups to a Change, which is everything to be written.

No clock, no randomness, no I/O: equal events and records give equal bytes on every machine.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct, field

from events.contract.decode import decode
from events.contract.order import OrderEvent, without_personal_data
from events.errors import InvalidEvent
from events.logs.log import Partition, Record
from projector.errors import FatalError
from projector.fold.merge import first, merge
from projector.parked.record import counted, parked
from projector.readmodel.record.document import row
from projector.readmodel.record.state import Group, pack, revision_of, unpack
from projector.readmodel.record.view import Indexed, indexed, view
from projector.readmodel.schema.tally import Fate

ORDERS_MAX = 1000
# Python 3.11 takes as long to find a member of an enumeration as to merge a field or two.
_APPLIED, _STALE = Fate.APPLIED, Fate.STALE


class Decoded(Struct, frozen=True, gc=False):
    """A record with its content: an order event, a problem, or neither for an event of another type.

    `parked`: the record as `parked.record.parked` encodes it, where that was done already. `with_payload`: whether
    Redis may keep its key, value and headers if it is parked.
    """

    record: Record
    event: OrderEvent | None
    problem: InvalidEvent | None
    parked: bytes | None = None
    with_payload: bool = True


class Stored(NamedTuple):
    """A group in Redis."""

    ordinal: int
    record: bytes


class Known(Struct, gc=False):
    """A group as Redis has it. `revision`, `size` (bytes): of its record. They are empty and 0 for a new group, whose
    `ordinal` is reserved. `indexed`: None unless it is listed.
    """

    ordinal: int
    revision: bytes
    group: Group
    indexed: Indexed | None
    size: int


class Change(Struct, gc=False):
    """All that one commit writes to one shard.

    `groups`: group id -> ordinal, and the revision that Redis must still have, for every group of the batch.
    `records`, `rows`: ordinal -> bytes as stored. `moves`: ordinal -> what the indexes hold of the group, before and
    after, where these differ; None while the group is not listed.
    `parked`: `orders/0@17` -> JSON. `tally`: `orders/0` -> records by fate. `parked_bytes`: `orders/0` -> growth of
    its parked records in bytes.
    `after`: all these groups as Redis has them once the commit is stored.
    For a redrive or a discard: `unparked`: positions that must still be parked, and are removed unless in `parked`;
    `discarded`: position -> JSON of a discarded record; `redriven`: whether documents change although no position does.
    """

    groups: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    rows: dict[int, bytes] = field(default_factory=dict)
    moves: dict[int, tuple[Indexed | None, Indexed | None]] = field(default_factory=dict)
    parked: dict[str, bytes] = field(default_factory=dict)
    tally: dict[str, dict[Fate, int]] = field(default_factory=dict)
    parked_bytes: Counter[str] = field(default_factory=Counter)
    after: dict[str, Known] = field(default_factory=dict)
    unparked: list[str] = field(default_factory=list)
    discarded: dict[str, bytes] = field(default_factory=dict)
    redriven: bool = False


def decode_record(record: Record, poison_pills: Container[str] = (), *, personal_data: bool = True) -> Decoded:
    """Decodes the event. `poison_pills`: positions of events that must not be decoded.

    Without `personal_data` the event has no names, and a problem does not show the value found.
    """
    item = _decode(record, poison_pills)
    if personal_data:
        return item
    event = without_personal_data(item.event) if item.event else None
    problem = InvalidEvent(item.problem.path, item.problem.problem.split(", got ")[0]) if item.problem else None
    return Decoded(record, event, problem, with_payload=False)


def _decode(record: Record, poison_pills: Container[str]) -> Decoded:
    if poison_pills and str(record) in poison_pills:
        return Decoded(record, None, InvalidEvent("kills_process", "processes that decoded it crashed"))
    try:
        return Decoded(record, decode(record.value, record.headers), None)
    except InvalidEvent as raised:
        # A new error: the raised one refers to the frames above, and so keeps the whole batch alive in a cycle.
        return Decoded(record, None, InvalidEvent(raised.path, raised.problem))
    except (MemoryError, RecursionError) as error:
        fatal = InvalidEvent("kills_process", f"expected an event that can be decoded, got {type(error).__name__}")
        return Decoded(record, None, fatal)


def group_ids(batch: Iterable[Decoded]) -> list[str]:
    """Returns the ids of the groups of the batch, each once."""
    return list({item.event.group_id: None for item in batch if item.event})


def new(ordinal: int) -> Known:
    """Returns a group that Redis does not have yet."""
    return Known(ordinal, b"", {}, None, 0)


def known(group_id: str, stored: Stored) -> Known:
    """Raises FatalError for a damaged record."""
    try:
        group = unpack(stored.record)
    except (msgspec.DecodeError, IndexError, TypeError) as error:
        raise FatalError(
            f"the record of group {group_id!r} in Redis is damaged ({error}): rebuild it with `projector replay`"
        ) from None
    seen = view(group_id, group)
    return Known(stored.ordinal, revision_of(stored.record), group, indexed(seen) if seen else None, len(stored.record))


def project(before: Mapping[str, Known], batch: Sequence[Decoded], now: str | None = None) -> Change:
    """Folds the batch. `before` has the groups in `group_ids(batch)`, all of one shard; the fold changes them in place.

    `now`: RFC 3339, stored with parked records; it has no other effect.
    """
    change = Change()
    touched = set()
    fates: defaultdict[Partition, list[Fate]] = defaultdict(list)
    for item in batch:
        fate = _apply(before, item, change, now)
        if fate is _APPLIED and item.event:
            touched.add(item.event.group_id)
        fates[item.record.partition].append(fate)
    change.tally = {str(partition): {fate: found.count(fate) for fate in Fate} for partition, found in fates.items()}
    for group_id, group in before.items():
        # Also for an unchanged group: a stale cache entry could make a new event look stale.
        change.groups[group_id] = group.ordinal, group.revision
        change.after[group_id] = _render(group_id, group, change) if group_id in touched else group
    return change


def _render(group_id: str, old: Known, change: Change) -> Known:
    ordinal, record, seen = old.ordinal, pack(old.group), view(group_id, old.group)
    after = indexed(seen) if seen else None
    change.records[ordinal] = record
    if seen and after:
        change.rows[ordinal] = row(seen, after.columns)
    if after != old.indexed:
        change.moves[ordinal] = old.indexed, after
    return Known(ordinal, revision_of(record), old.group, after, len(record))


def _apply(before: Mapping[str, Known], item: Decoded, change: Change, now: str | None) -> Fate:
    event, problem = item.event, item.problem
    if event:
        group = before[event.group_id].group
        order = group.get(event.order_id)
        if order:
            return _APPLIED if merge(order, event) else _STALE
        if len(group) < ORDERS_MAX:
            group[event.order_id] = first(event)
            return _APPLIED
        problem = InvalidEvent(
            "$.data.order_group_id", f"expected at most {ORDERS_MAX} orders in a group, got one more"
        )
    if problem:
        stored = change.parked[str(item.record)] = item.parked or parked(item.record, problem, now, item.with_payload)
        change.parked_bytes[str(item.record.partition)] += counted(stored)
        return Fate.PARKED
    return Fate.PASSED_OVER
