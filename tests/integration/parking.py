"""Parks events that an earlier release refused and the current code accepts, and invalid events."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from events.errors import InvalidEvent
from events.logs.log import Partition, Record
from projector.pipeline import Pipeline
from projector.project import Decoded, decode_record
from projector.readmodel.schema.keys import Generation
from projector.store.redis import Store
from tests.poison import event

ORDERS = Partition("orders", 0)
REFUSED = InvalidEvent("$.data.status", 'expected a status that we know, got "strange"')
BAD = b'{"specversion":"1.0"}'


def records(values: Sequence[dict[str, Any] | bytes], first: int = 0) -> list[Record]:
    """Returns records of events, or of raw bytes, each with a key and a header."""
    return [
        Record(
            *(ORDERS, first + i, 1_780_308_000_000 + i, b"key %d" % i),
            value if isinstance(value, bytes) else json.dumps(value).encode(),
            (("trace", b"\xff%d" % i),),
        )
        for i, value in enumerate(values)
    ]


def apply(store: Store, generation: Generation, read: Sequence[Record], refused: Collection[int] = ()) -> None:
    """`refused`: offsets."""
    pipeline = Pipeline(store, generation, lambda call: call())
    pipeline.start([ORDERS])
    pipeline.push([Decoded(one, None, REFUSED) if one.offset in refused else decode_record(one) for one in read])
    pipeline.flush()


def mixture() -> tuple[list[dict[str, Any] | bytes], set[int]]:
    """30 groups of two orders each, some of their events refused, in between what stays bad.

    Of the refused, 20 change something, 5 are repeated, so that they come to nothing, and 5 are not ours to read.
    """
    found: list[dict[str, Any] | bytes] = [event(number, order_group_id=f"og_{number % 30}") for number in range(60)]
    refused = set(range(0, 60, 3))
    found += [found[number] for number in (1, 2, 4, 5, 7)]
    refused |= set(range(60, 65))
    found += [{**event(number), "type": "order.placed"} for number in range(5)]
    refused |= set(range(65, 70))
    found += [BAD] * 4
    return found, refused


def events_of(values: Sequence[dict[str, Any] | bytes]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]
