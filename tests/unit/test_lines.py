import io
import json
from pathlib import Path

import pytest

from events.errors import InvalidEvent
from events.lines import RECORD_BYTES_MAX, RECORD_LINE_BYTES_MAX, is_record, is_too_large, line_of, read_lines
from events.logs.log import Entry, Headers, Partition, Record
from events.logs.sqlite.log import SqliteLog
from projector.publish import BadLines, publish_file
from tests.poison import FINE, POISON, Poison, event

GOOD = [json.dumps(event(number)).encode() for number in range(3)]
BAD = json.dumps(event(9, total="much")).encode()


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "orders.db")
    log.create()
    return log


def test_lines_are_numbered_from_1() -> None:
    file = io.BytesIO(b"\n".join([GOOD[0], b"", b"  ", BAD, b"x" * 3_000_000, GOOD[1]]))
    found = dict(read_lines(file))
    assert sorted(found) == [1, 4, 5, 6]
    assert str(found[4]) == '$.data.total: expected decimal, got "much"'
    assert str(found[5]) == "$: expected at most 1048576 bytes, got more"
    assert isinstance(found[6], Entry)
    assert found[6].value == GOOD[1]
    assert found[6].key == b"og_1"


def test_one_bad_line_publishes_nothing(log: SqliteLog) -> None:
    reports: list[str] = []
    with log, pytest.raises(BadLines, match="1 bad line, nothing published; --skip-bad publishes the others"):
        publish_file(log, io.BytesIO(b"\n".join([*GOOD, BAD])), False, reports.append)
    assert reports == ['line 4: $.data.total: expected decimal, got "much"']
    with log:
        assert list(log.end().values()) == [0]


def test_skip_bad_publishes_the_others(log: SqliteLog) -> None:
    reports: list[str] = []
    with log:
        published, skipped, positions = publish_file(log, io.BytesIO(b"\n".join([BAD, *GOOD])), True, reports.append)
        assert (published, skipped, list(positions.values())) == (3, 1, [3])
        assert [record.value for record in log.records(0, 10)] == GOOD
    assert len(reports) == 1


def test_unchecked_publishes_bad_lines_as_they_are(log: SqliteLog) -> None:
    lines = [GOOD[0], BAD, b"no JSON \xff", b"x" * 3_000_000]
    reports: list[str] = []
    with log:
        found = publish_file(log, io.BytesIO(b"\n".join(lines)), True, reports.append, checked=False)
        assert (found[0], found[1]) == (3, 1)
        assert [(record.key, record.value) for record in log.records(0, 10)] == [
            (b"og_0", GOOD[0]),
            (None, BAD),
            (None, lines[2]),
        ]
    assert reports == ["line 4: $: expected at most 1048576 bytes, got more"]


def test_invalid_events_know_their_path() -> None:
    problem = next(iter(dict(read_lines(io.BytesIO(BAD))).values()))
    assert isinstance(problem, InvalidEvent)
    assert problem.path == "$.data.total"


def record(value: bytes | None, headers: Headers = (), key: bytes | None = b"og_1") -> Record:
    return Record(Partition("orders", 0), 17, 1_780_308_000_000, key, value, headers)


def entry_of_line(line: bytes) -> Entry:
    (found,) = dict(read_lines(io.BytesIO(line + b"\n"))).values()
    assert isinstance(found, Entry), found
    return found


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_invalid_events_are_kept_as_records(poison: Poison) -> None:
    for key in (None, b"", b"\xff"):
        line = line_of(record(poison.value, poison.headers, key))
        assert is_record(line)
        assert entry_of_line(line) == Entry(key, poison.value, poison.headers)


@pytest.mark.parametrize("fine", [fine for fine in FINE if not fine.name.startswith("binary")], ids=lambda f: f.name)
def test_a_structured_event_is_its_own_line(fine: Poison) -> None:
    line = line_of(record(fine.value, fine.headers, b"another key"))
    assert line == fine.value
    entry = entry_of_line(line)
    assert fine.value is not None
    assert (entry.key, entry.value) == (json.loads(fine.value)["data"]["order_group_id"].encode(), fine.value)


def test_a_binary_event_becomes_structured_with_all_attributes() -> None:
    data = json.dumps(event(1, total="12.50", note="ü")["data"], indent=1).replace('"12.50"', "12.50")
    headers = {"specversion": "1.0", "id": "e1", "source": "/a", "type": "order.updated", "partitionkey": "ü"}
    line = line_of(
        record(
            data.encode(),
            (
                *((f"ce_{name}", value.encode()) for name, value in headers.items()),
                ("trace", b"\xff"),
                ("content-type", b"application/json"),
            ),
        )
    )
    found = json.loads(line, parse_float=str)
    assert found == {**headers, "datacontenttype": "application/json", "data": json.loads(data, parse_float=str)}
    assert found["data"]["total"] == "12.50", "a number is kept to its last digit"


def test_a_binary_event_that_would_exceed_a_limit_is_kept_as_a_record() -> None:
    attributes = {"specversion": b"1.0", "id": b"e1", "source": b"/a", "type": b"order.created"}
    binary = tuple((f"ce_{name}", value) for name, value in attributes.items())
    data = event()["data"]
    largest = json.dumps({**data, "x": "y" * (1024 * 1024 - len(json.dumps(data)) - 9)}).encode()
    assert len(largest) == 1024 * 1024
    deepest = json.dumps(data)[:-1].encode() + b',"x":' + b"[" * 31 + b"]" * 31 + b"}"
    for value in (largest, deepest):
        line = line_of(record(value, binary))
        assert is_record(line)
        assert entry_of_line(line) == Entry(b"og_1", value, binary)


def test_an_event_on_many_lines_is_joined() -> None:
    value = json.dumps(event(), indent=2).encode() + b"\n"
    assert json.loads(line_of(record(value))) == event()
    assert b"\n" not in line_of(record(value))


def test_an_event_of_another_type_keeps_its_key() -> None:
    value = json.dumps({**event(), "type": "invoice.created"}).encode()
    assert line_of(record(value, key=None)) == value
    line = line_of(record(value, (("h", b"1"),), b"invoice_1"))
    assert entry_of_line(line) == Entry(b"invoice_1", value, (("h", b"1"),))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"$record": 1}', "Expected `object`, got `int`"),
        (b'{"$record":1}', "Expected `object`, got `int`"),
        (b'{"$record":{"value":null}}', "missing required field `key`"),
        (b'{"$record":{"key":null,"value":"?"}}', "Invalid base64"),
        (b'{"$record":{"key":null,"value":null,"partition":1}}', "unknown field `partition`"),
        (b'{"$record":{"key":null,"value":null},"id":"1"}', "unknown field `id`"),
        (b'{"$record":{"key":null,"value":null', "truncated"),
        (b'{"$record":{"key":null,"value":null,"headers":[["\xff",""]]}}', ""),
    ],
)
def test_malformed_records_are_refused(line: bytes, problem: str) -> None:
    (found,) = dict(read_lines(io.BytesIO(line))).values()
    assert isinstance(found, InvalidEvent)
    assert problem in str(found)
    assert "\n" not in str(found)


def test_a_record_above_the_limit_is_refused() -> None:
    headers = (("h", b"x" * (63 * 1024 - 1 - 10)),)
    largest = record(b"\xff" * 1024 * 1024, headers, None)
    assert entry_of_line(line_of(largest)) == Entry(None, largest.value, headers)
    assert not is_too_large(largest, line_of(largest))
    for larger in (record(largest.value, headers, b"k"), record(b"{" * 9_000_000, headers)):
        line = line_of(larger)
        assert is_too_large(larger, line)
        found = dict(read_lines(io.BytesIO(line + b"\n" + GOOD[0])))
        assert sorted(found) == [1, 2]
        assert isinstance(found[1], InvalidEvent)
        assert isinstance(found[2], Entry)
    assert "expected a record of at most 1113088 bytes, got 1113089" in str(
        next(iter(dict(read_lines(io.BytesIO(line_of(record(largest.value, headers, b"k"))))).values()))
    )
    assert RECORD_LINE_BYTES_MAX > RECORD_BYTES_MAX * 4 / 3


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("more", [-2, -1, 0, 1, 2, 3])
def test_the_longest_line_is_read(end: bytes, more: int) -> None:
    line = GOOD[0][:-1] + b',"x":"' + b"y" * (1024 * 1024 - len(GOOD[0]) - 7 + more) + b'"}'
    assert len(line) == 1024 * 1024 + more
    found = dict(read_lines(io.BytesIO(line + end + (GOOD[1] if end else b""))))
    assert isinstance(found[1], Entry if more <= 0 else InvalidEvent)
    assert len(found) == 1 + bool(end)
    if end:
        assert isinstance(found[2], Entry)
