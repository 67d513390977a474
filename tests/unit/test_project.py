import gc
import json
import sys

import pytest

from events.logs.log import Partition, Record
from projector.project import decode_record, project


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (1780308000123, "2026-06-01T10:00:00.123+00:00"),
        (-1, "1969-12-31T23:59:59.999+00:00"),
        (-(10**14), None),
        (10**18, None),
    ],
)
def test_any_timestamp_of_the_log_can_be_parked(timestamp_ms: int, text: str | None) -> None:
    """Publishers set it, and Kafka does not check it."""
    change = project({}, [decode_record(Record(Partition("orders", 0), 7, timestamp_ms, None, b"{"))])
    parked = json.loads(change.parked["orders/0@7"])
    assert (parked["timestamp_ms"], parked["time"]) == (timestamp_ms, text)


def test_a_batch_with_bad_events_is_freed() -> None:
    """A cycle through the raised error would keep the batch alive."""
    value = bytes(bytearray(b"no event"))

    def decode_and_project() -> None:
        batch = [decode_record(Record(Partition("orders", 0), offset, 0, None, value, ())) for offset in range(100)]
        assert len(project({}, batch).parked) == 100

    before = sys.getrefcount(value)
    decode_and_project()
    gc.collect()
    assert sys.getrefcount(value) == before
