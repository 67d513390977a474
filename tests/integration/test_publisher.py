"""events.Publisher, on both logs."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from events import BadLogUrl, InvalidEvent, LogMissing, Publisher
from events.contract.decode import decode
from events.logs.log import Log, Position, Record
from events.logs.open import open_log, sqlite_url
from tests.poison import event
from tests.servers.process import wait_until

DATA = event(1)["data"]


@pytest.fixture(params=["sqlite", "kafka"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "kafka":
        topic: Callable[[int], str] = request.getfixturevalue("kafka_topic")
        return topic(3)
    address = sqlite_url(tmp_path / "orders.db")
    with open_log(address, {}) as log:
        log.create()
    return address


def read_all(log: Log, count: int) -> list[Record]:
    subscription = log.subscribe()
    records: list[Record] = []

    def enough() -> bool:
        polled = subscription.poll(0.1, 1000)
        for partition in polled.assigned:
            subscription.seek(Position(partition, 0))
        records.extend(polled.records)
        return len(records) >= count

    wait_until(enough, 30, f"{count} records")
    subscription.close()
    return records


def test_a_published_event_precedes_its_position(url: str) -> None:
    with Publisher(url, source="/commerce/orders") as publisher:
        first = publisher.publish("order.created", DATA, event_id="evt_1")
        again = publisher.publish("order.created", DATA, event_id="evt_1")
        update = {"id": "order_1", "order_group_id": "og_1", "updated_at": datetime.now(UTC), "total": Decimal("0.10")}
        publisher.publish("order.updated", update)
    assert first.partition == again.partition, "one group, one partition"
    assert again.offset > first.offset
    with open_log(url, {}) as log:
        records = read_all(log, 3)
    assert {record.key for record in records} == {b"og_1"}
    assert records[0].offset == first.offset - 1
    events = [decode(record.value, record.headers) for record in records]
    assert events[0] == events[1]
    assert events[2] is not None
    assert events[2].values[3] == 100_000
    assert json.loads(records[0].value or b"")["source"] == "/commerce/orders"
    assert str(first) == f"{first.partition.topic}/{first.partition.number}@{first.offset}"


def test_a_batch_keeps_the_order_of_a_group(url: str) -> None:
    with Publisher(url, source="/s") as publisher:
        events = [event(number, order_group_id=f"og_{number % 7}") for number in range(500)]
        positions = publisher.publish_all(events)
    assert len(set(positions)) == 500
    with open_log(url, {}) as log:
        found = sorted(read_all(log, 500), key=lambda record: (record.partition, record.offset))
    for group in range(7):
        ids = [json.loads(r.value or b"")["id"] for r in found if r.key == f"og_{group}".encode()]
        assert ids == [f"evt_{number}" for number in range(group, 500, 7)]


def test_an_invalid_event_is_an_error_and_nothing_is_sent(url: str) -> None:
    with Publisher(url, source="/s") as publisher:
        with pytest.raises(InvalidEvent, match=r"^\$\.data\.total: expected decimal, got object$"):
            publisher.publish("order.created", {**DATA, "total": {}})
        with pytest.raises(InvalidEvent, match=r"^\$\.data\.updated_at: expected RFC 3339 date-time with offset"):
            publisher.publish("order.updated", {**DATA, "updated_at": datetime(2026, 1, 1)})
        with pytest.raises(
            InvalidEvent, match=r'^\$\.type: expected "order.created" or "order.updated", got "order.creatd"$'
        ):
            publisher.publish("order.creatd", DATA)
        with pytest.raises(InvalidEvent):
            publisher.publish_all([event(1), {**event(2), "specversion": "2"}])
    with open_log(url, {}) as log:
        assert sum(log.end().values()) == 0


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadLogUrl, match="EVENT_LOG_URL: expected kafka://"):
        Publisher("http://x", source="/s")
    with pytest.raises(LogMissing), Publisher(sqlite_url(tmp_path / "none.db"), source="/s") as publisher:
        publisher.publish("order.created", DATA)
