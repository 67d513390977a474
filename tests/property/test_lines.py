"""The line of any record gives an entry with the same fate."""

import io
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from events.contract.decode import decode
from events.errors import InvalidEvent
from events.lines import is_record, line_of, read_lines
from events.logs.log import Entry, Headers, Partition, Record
from tests.strategies import histories

ORDER = {"id": "order_1", "order_group_id": "og_1", "updated_at": "2026-06-01T10:00:00Z"}
BINARY = (("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_source", b"/a"), ("ce_type", b"order.updated"))
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
headers = st.lists(
    st.tuples(st.one_of(names, st.sampled_from(["ce_id", "ce_x", "content-type", "ce_data", "ce_"])), st.binary()),
    max_size=3,
).map(tuple)
keys = st.one_of(st.none(), st.binary(max_size=20))


def json_bytes(value: Any, draw: st.DrawFn) -> bytes:
    """Encodes JSON in a random style: on one line or many, in ASCII or not, with white space around it or not."""
    text = json.dumps(value, indent=draw(st.sampled_from([None, 2, "\t"])), ensure_ascii=draw(st.booleans()))
    return (draw(st.sampled_from(["", "", "\n", " ", "\r\n"])) + text + draw(st.sampled_from(["", "", "\n"]))).encode()


@st.composite
def events(draw: st.DrawFn) -> tuple[bytes, Headers]:
    """Value and headers of a valid event, or of one of another type, in either content mode."""
    (event,) = draw(histories(1, 1))
    if draw(st.booleans()):
        event |= draw(st.dictionaries(st.sampled_from(["$record", "subject", "traceparent"]), names, max_size=2))
        event = dict(sorted(event.items()))
    if draw(st.integers(0, 4)) == 0:
        event["type"] = "invoice.created"
    if draw(st.booleans()):
        return json_bytes(event, draw), ()
    attributes = tuple((f"ce_{name}", str(event[name]).encode()) for name in event if name != "data")
    return json_bytes(event["data"], draw), attributes


@st.composite
def records(draw: st.DrawFn) -> Record:
    value, of_mode = draw(st.one_of(events(), st.tuples(st.one_of(st.none(), st.binary()), st.just(()))))
    cut = draw(st.sampled_from([0, 0, 0, 1, 7]))
    if value and cut:
        value = value[:-cut]
    return Record(Partition("orders", 3), 17, 1_780_308_000_000, draw(keys), value, (*of_mode, *draw(headers)))


def entry_of_line(line: bytes) -> Entry:
    assert b"\n" not in line
    # Between two others, as in a file.
    found = dict(read_lines(io.BytesIO(b"{}\n" + line + b"\n[]\n")))
    assert list(found) == [1, 2, 3]
    assert isinstance(found[1], InvalidEvent)
    assert isinstance(found[3], InvalidEvent)
    entry = found[2]
    assert isinstance(entry, Entry), entry
    return entry


def check(record: Record) -> None:
    line = line_of(record)
    entry = entry_of_line(line)
    try:
        order = decode(record.value, record.headers)
    except InvalidEvent:
        order = None
    if order is None and (record.key is not None or is_record(line)):
        # Parked or passed over: unchanged.
        assert (entry.key, entry.value, entry.headers) == (record.key, record.value, record.headers)
    elif order is None:
        assert (entry.key, entry.value) == (None, record.value)
    else:
        assert decode(entry.value, entry.headers) == order
        assert is_record(line) or entry.key == order.group_id.encode()


def structured(**more: Any) -> bytes:
    event = {"specversion": "1.0", "id": "e1", "source": "/a", "type": "order.updated", "data": ORDER}
    return json.dumps({**more, **event}).encode()


@given(records())
@example(Record(Partition("o", 0), 0, 0, None, structured(**{"$record": 1}), ()))
@example(Record(Partition("o", 0), 0, 0, None, b" " + structured().replace(b"order.updated", b"other"), ()))
@example(Record(Partition("o", 0), 0, 0, None, b'{"$record":{"key":null,"value":null}}', ()))
@example(Record(Partition("o", 0), 0, 0, None, json.dumps(ORDER).encode(), (*BINARY, ("ce_data", b"\x80"))))
@example(Record(Partition("o", 0), 0, 0, b"k", b"", (("h", b""), ("h", b""))))
def test_a_record_and_its_line_have_the_same_fate(record: Record) -> None:
    check(record)
