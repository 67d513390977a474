"""The publisher for upstream services. `publish` returns a position from which on lists reflect the event.

with Publisher("kafka://localhost:9092/orders", source="/commerce/orders") as publisher:
    position = publisher.publish("order.created", {"id": "order_1", "order_group_id": "og_1", ...})
    requests.get(".../admin/order-groups", headers={"X-Min-Position": str(position), ...})
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from events.contract.decode import CREATED, UPDATED, decode
from events.errors import InvalidEvent
from events.logs.log import Entry, Position
from events.logs.open import open_log

STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def entry_of(event: bytes) -> Entry:
    """Returns the log entry of a CloudEvent in JSON, with its group's id as key. Raises InvalidEvent."""
    order = decode(event, STRUCTURED)
    return Entry(order.group_id.encode() if order else None, event, STRUCTURED)


def unchecked_entry_of(event: bytes) -> Entry:
    """Returns the log entry of any bytes. Without a key, unless they are a valid event."""
    try:
        return entry_of(event)
    except InvalidEvent:
        return Entry(None, event, STRUCTURED)


class Publisher:
    """Idempotent and durable: `publish` returns once the log has acknowledged (acks=all on Kafka).

    Each event is validated against the contract before it is sent, so that mistakes show here and not as parked events
    of the projector. Kafka's credentials may come from the environment (KAFKA_USERNAME, ...).
    Raises BadLogUrl, LogMissing, LogUnavailable.
    """

    def __init__(self, url: str, *, source: str) -> None:
        self._log = open_log(url, os.environ)
        self._source = source

    def publish(
        self, event_type: str, data: Mapping[str, Any], *, event_id: str | None = None, time: datetime | None = None
    ) -> Position:
        """Publishes one event. `data` follows the contract; datetimes and Decimals are accepted.

        Pass `event_id` if you may publish the same event again: a duplicate id changes nothing.
        Raises InvalidEvent, LogUnavailable.
        """
        if event_type not in (CREATED, UPDATED):
            raise InvalidEvent("$.type", f'expected "{CREATED}" or "{UPDATED}", got "{event_type}"')
        event = {
            "specversion": "1.0",
            "id": event_id or str(uuid.uuid4()),
            "source": self._source,
            "type": event_type,
            "time": time or datetime.now(UTC),
            "data": data,
        }
        return self.publish_all([event])[0]

    def publish_all(self, events: Sequence[Mapping[str, Any]]) -> list[Position]:
        """Publishes whole CloudEvents together, with one wait. If one is invalid, none is sent. Raises as `publish`."""
        return self._log.append([entry_of(msgspec.json.encode(event)) for event in events])

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
