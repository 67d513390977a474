"""What is kept of a group between events: its orders with their revisions, compact, as bytes.

Eight bytes of BLAKE2b over the rest come first: the group's revision, which the commit compares. It depends on
the content alone, so equal folds have equal bytes, whatever way they came about.
The rest is msgpack: an array of orders by id, each

    [id, who, [version, updated_at, tie_break, ...], [value, ...]]

`who` has a byte for each field: 0 if nobody has told it, else 1 + the index of its revision among those that
follow, three integers each. The first revision is the order's latest. A snapshot thus costs one revision,
however many fields it has.
"""

from hashlib import blake2b

import msgspec

from events.contract.order import Revision
from projector.fold.order import TOTAL, Order

REVISION_BYTES = 8
# The largest integer of msgpack on both sides of zero; a total in millionths can be larger, and is then a string.
MSGPACK_MAX = 2**63 - 1

Group = dict[str, Order]

_Packed = tuple[str, bytes, list[int], list[int | str | None]]
_decoder = msgspec.msgpack.Decoder(list[_Packed])
_encoder = msgspec.msgpack.Encoder()


def pack(group: Group) -> bytes:
    body = _encoder.encode([_packed(group[order_id]) for order_id in sorted(group)])
    return blake2b(body, digest_size=REVISION_BYTES).digest() + body


def unpack(state: bytes | None) -> Group:
    """An empty group for None. Raises msgspec.DecodeError for bytes that `pack` did not make."""
    if state is None:
        return {}
    group = {}
    for order_id, who, numbers, values in _decoder.decode(state[REVISION_BYTES:]):
        told = [tuple(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
        revisions = [told[index - 1] if index else None for index in who]
        total = values[TOTAL]
        if isinstance(total, str):
            values[TOTAL] = int(total)
        group[order_id] = Order(order_id, told[0], values, revisions)  # type: ignore[arg-type]  # triples
    return group


def revision_of(state: bytes | None) -> bytes:
    """Empty for a group that does not exist yet."""
    return state[:REVISION_BYTES] if state else b""


def _packed(order: Order) -> _Packed:
    latest = order.latest
    indexes: dict[Revision, int] = {latest: 1}
    # Most fields come from the latest event: the same object, which spares hashing it.
    who = bytes(
        [
            1 if revision is latest else 0 if revision is None else indexes.setdefault(revision, len(indexes) + 1)
            for revision in order.revisions
        ]
    )
    values = order.values
    total = values[TOTAL]
    if total is not None and not -MSGPACK_MAX <= total <= MSGPACK_MAX:
        values = [*values[:TOTAL], str(total), *values[TOTAL + 1 :]]
    return order.id, who, [number for revision in indexes for number in revision], values
