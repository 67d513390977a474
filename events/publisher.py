"""For upstream services: publish an event, get back the position from which a list reflects it.

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
    """The record for one CloudEvent in JSON, keyed by its group. Raises InvalidEvent."""
    order = decode(event, STRUCTURED)
    return Entry(order.group_id.encode() if order else None, event, STRUCTURED)


class Publisher:
    """Idempotent and durable: `publish` returns once the log has acknowledged (acks=all on Kafka).

    Every event is checked against the contract before it is sent, so that mistakes surface here and not in
    the projector's parked events. Kafka's credentials may come from the environment (KAFKA_USERNAME, ...).
    Raises BadLogUrl, LogMissing, LogUnavailable.
    """

    def __init__(self, url: str, *, source: str) -> None:
        self._log = open_log(url, os.environ)
        self._source = source

    def publish(
        self, event_type: str, data: Mapping[str, Any], *, event_id: str | None = None, time: datetime | None = None
    ) -> Position:
        """`data` as the contract has it; datetimes and Decimals are welcome.

        Give `event_id` where you may publish the same event again: the same id makes it a duplicate, which
        changes nothing. Raises InvalidEvent, LogUnavailable.
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
        """Whole CloudEvents, sent together: one wait for all. None is sent if one is invalid. Raises as `publish`."""
        return self._log.append([entry_of(msgspec.json.encode(event)) for event in events])

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
