"""A group's record: its orders with their revisions, as compact bytes.

The first eight bytes are BLAKE2b of the rest: the group's revision, which the commit compares. It depends on the
content alone, so equal folds have equal bytes, in whatever order the events came.
The rest is msgpack: an array of orders by id, each

    [id, indexes, [version, updated_at, tie_break, ...], [value, ...]]

`indexes` has one byte per field: 0 for a field that no event has set, else 1 + the index of its revision. Revisions are
three integers each; the first is the order's latest. A snapshot costs one revision, however many fields it sets.
Indexes and values end with the last field that an event has set, so fields that nobody publishes cost nothing.
"""

from hashlib import blake2b

import msgspec
from msgspec import Raw

from events.contract.order import FIELDS, Revision
from projector.readmodel.record.order import TOTAL, Order

REVISION_BYTES = 8
# Integers of msgpack end at plus and minus this. A larger total, in millionths, is stored as a string.
MSGPACK_MAX = 2**63 - 1

Group = dict[str, Order]

_Packed = tuple[str, bytes, list[int], list[int | str | None]]
_decoder = msgspec.msgpack.Decoder(list[_Packed])
_encoder = msgspec.msgpack.Encoder()


def pack(group: Group) -> bytes:
    orders = [group[order_id] for order_id in sorted(group)]
    for order in orders:
        if order.packed is None:
            order.packed = Raw(_encoder.encode(_packed(order)))
    body = _encoder.encode([order.packed for order in orders])
    return blake2b(body, digest_size=REVISION_BYTES).digest() + body


def unpack(record: bytes) -> Group:
    """Returns the group. Raises msgspec.DecodeError, IndexError or TypeError for bytes that `pack` did not make."""
    group = {}
    for order_id, indexes, numbers, values in _decoder.decode(record[REVISION_BYTES:]):
        distinct = [tuple(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
        revisions = [distinct[index - 1] if index else None for index in indexes]
        unset = [None] * (len(FIELDS) - len(values))
        values += unset
        revisions += unset
        total = values[TOTAL]
        if isinstance(total, str):
            values[TOTAL] = int(total)
        group[order_id] = Order(order_id, distinct[0], values, revisions)  # type: ignore[arg-type]  # triples
    return group


def revision_of(record: bytes) -> bytes:
    return record[:REVISION_BYTES]


def _packed(order: Order) -> _Packed:
    latest = order.latest
    numbered: dict[Revision, int] = {latest: 1}
    # Most fields come from the latest event. Comparing identities first spares hashing.
    indexes = bytes(
        [
            1 if revision is latest else 0 if revision is None else numbered.setdefault(revision, len(numbered) + 1)
            for revision in order.revisions
        ]
    )
    used = len(indexes.rstrip(b"\0"))
    values = order.values[:used]
    total = order.values[TOTAL]
    if total is not None and not -MSGPACK_MAX <= total <= MSGPACK_MAX:
        values[TOTAL] = str(total)
    return order.id, indexes[:used], [number for revision in numbered for number in revision], values
