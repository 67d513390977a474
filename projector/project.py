"""The pure core of the projector: from records and group states to a Change, which is everything to be written.

No clock, no randomness, no I/O: equal records and states give equal bytes on every machine.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct, field

from events.contract.decode import decode
from events.contract.order import OrderEvent
from events.errors import InvalidEvent
from events.logs.log import Partition, Record
from projector.errors import FatalError
from projector.fold.order import first, merge
from projector.fold.state import Group, pack, revision_of, unpack
from projector.fold.view import Entries, document, entries, search_text, view
from projector.parked.record import counted, parked

ORDERS_MAX = 1000


class Fate(StrEnum):
    """The result of a record. In every partition, the five counts sum up to the records received.

    DISCARDED was PARKED until an operator discarded it.
    """

    APPLIED = "applied"
    STALE = "stale"
    PASSED_OVER = "passed_over"
    PARKED = "parked"
    DISCARDED = "discarded"


# A name in the tally, beside the fates: bytes of a partition's parked records, as counted against the limit.
PARKED_BYTES = "parked_bytes"


class Decoded(Struct, frozen=True, gc=False):
    """A record with its content: an order event, a problem, or neither for an event of another type.

    `parked`: the record as `parked.record.parked` encodes it, where that was done already.
    """

    record: Record
    event: OrderEvent | None
    problem: InvalidEvent | None
    parked: bytes | None = None


class Known(Struct, gc=False):
    """A group as Redis has it. `revision`, `size` (bytes): of its state. `text`: None unless it is listed."""

    revision: bytes
    group: Group
    entries: Entries
    text: bytes | None
    size: int


class Change(Struct, gc=False):
    """All that one commit writes to one shard. Bytes are as stored; index names lack the shard's prefix.

    `expected`: group id -> the revision that Redis must still have, for every group of the batch.
    `row`, `rest`: the two parts of each document; `text`: changed texts only; `unlisted`: groups no longer listed.
    `add`: index -> [score, group id, ...]; `remove`: index -> [group id, ...].
    `parked`: `orders/0@17` -> JSON. `tally`: `orders/0` -> records by fate. `parked_bytes`: `orders/0` -> growth of
    its parked records in bytes.
    `after`: all these groups as Redis has them once the commit is stored.
    For a redrive or a discard: `unparked`: positions that must still be parked, and are removed unless in `parked`;
    `discarded`: position -> JSON of a discarded record; `redriven`: whether documents change although no position does.
    """

    expected: dict[str, bytes] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)
    row: dict[str, bytes] = field(default_factory=dict)
    rest: dict[str, bytes] = field(default_factory=dict)
    text: dict[str, bytes] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    add: dict[str, list[float | str]] = field(default_factory=dict)
    remove: dict[str, list[str]] = field(default_factory=dict)
    parked: dict[str, bytes] = field(default_factory=dict)
    tally: dict[str, dict[Fate, int]] = field(default_factory=dict)
    parked_bytes: Counter[str] = field(default_factory=Counter)
    after: dict[str, Known] = field(default_factory=dict)
    unparked: list[str] = field(default_factory=list)
    discarded: dict[str, bytes] = field(default_factory=dict)
    redriven: bool = False


def decode_record(record: Record, poison_pills: Container[str] = ()) -> Decoded:
    """Decodes the event. `poison_pills`: positions of events that must not be decoded."""
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


def known(group_id: str, state: bytes | None) -> Known:
    """`state`: as stored; None for a new group. Raises FatalError for a damaged state."""
    if state is None:
        return Known(b"", {}, {}, None, 0)
    try:
        group = unpack(state)
    except (msgspec.DecodeError, IndexError, TypeError) as error:
        raise FatalError(
            f"the state of group {group_id!r} in Redis is damaged ({error}): rebuild it with `projector replay`"
        ) from None
    seen = view(group_id, group)
    return Known(revision_of(state), group, entries(seen), search_text(seen) if seen else None, len(state))


def project(before: Mapping[str, Known], batch: Sequence[Decoded], now: str | None = None) -> Change:
    """Folds the batch. `before` has the groups in `group_ids(batch)`, all of one shard; the fold changes them in place.

    `now`: RFC 3339, stored with parked records; it has no other effect.
    """
    change = Change()
    touched = set()
    fates: dict[Partition, list[Fate]] = {item.record.partition: [] for item in batch}
    for item in batch:
        fate = _apply(before, item, change, now)
        if fate is Fate.APPLIED and item.event:
            touched.add(item.event.group_id)
        fates[item.record.partition].append(fate)
    change.tally = {str(partition): {fate: found.count(fate) for fate in Fate} for partition, found in fates.items()}
    for group_id, group in before.items():
        # Also for an unchanged group: a stale cache entry could make a new event look stale.
        change.expected[group_id] = group.revision
        if group_id in touched:
            _render(group_id, group, change)
        else:
            change.after[group_id] = group
    return change


def _render(group_id: str, old: Known, change: Change) -> None:
    state = pack(old.group)
    new = view(group_id, old.group)
    text = search_text(new) if new else None
    after = Known(revision_of(state), old.group, entries(new), text, len(state))
    change.state[group_id] = state
    if new:
        change.row[group_id], change.rest[group_id] = document(new)
    elif old.text is not None:
        change.unlisted.append(group_id)
    if text is not None and text != old.text:
        change.text[group_id] = text
    _diff(group_id, old.entries, after.entries, change)
    change.after[group_id] = after


def _apply(before: Mapping[str, Known], item: Decoded, change: Change, now: str | None) -> Fate:
    event, problem = item.event, item.problem
    if event:
        group = before[event.group_id].group
        order = group.get(event.order_id)
        if order:
            return Fate.APPLIED if merge(order, event) else Fate.STALE
        if len(group) < ORDERS_MAX:
            group[event.order_id] = first(event)
            return Fate.APPLIED
        problem = InvalidEvent(
            "$.data.order_group_id", f"expected at most {ORDERS_MAX} orders in a group, got one more"
        )
    if problem:
        stored = change.parked[str(item.record)] = item.parked or parked(item.record, problem, now)
        change.parked_bytes[str(item.record.partition)] += counted(stored)
        return Fate.PARKED
    return Fate.PASSED_OVER


def _diff(group_id: str, old: Entries, new: Entries, change: Change) -> None:
    for index, score in new.items():
        if old.get(index) != score:
            change.add.setdefault(index, []).extend((score, group_id))
    for index in old:
        if index not in new:
            change.remove.setdefault(index, []).append(group_id)
