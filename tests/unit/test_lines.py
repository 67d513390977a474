import io
import json
from pathlib import Path

import pytest

from events.errors import InvalidEvent
from events.lines import read_lines
from events.log import Entry
from events.sqlite_log import SqliteLog
from projector.publish import BadLines, publish_file
from tests.poison import event

GOOD = [json.dumps(event(number)).encode() for number in range(3)]
BAD = json.dumps(event(9, total="much")).encode()


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "orders.db")
    log.create()
    return log


def test_lines_are_numbered_as_an_editor_does() -> None:
    file = io.BytesIO(b"\n".join([GOOD[0], b"", b"  ", BAD, b"x" * 3_000_000, GOOD[1]]))
    found = dict(read_lines(file))
    assert sorted(found) == [1, 4, 5, 6]
    assert str(found[4]) == '$.data.total: expected decimal, got "much"'
    assert str(found[5]) == "$: expected at most 1048576 bytes, got more"
    assert isinstance(found[6], Entry)
    assert found[6].value == GOOD[1]
    assert found[6].key == b"og_1"


def test_one_bad_line_publishes_nothing(log: SqliteLog) -> None:
    said: list[str] = []
    with log, pytest.raises(BadLines, match="1 bad line, nothing published; --skip-bad publishes the others"):
        publish_file(log, io.BytesIO(b"\n".join([*GOOD, BAD])), False, said.append)
    assert said == ['line 4: $.data.total: expected decimal, got "much"']
    with log:
        assert list(log.end().values()) == [0]


def test_skip_bad_publishes_the_others(log: SqliteLog) -> None:
    said: list[str] = []
    with log:
        published, skipped, positions = publish_file(log, io.BytesIO(b"\n".join([BAD, *GOOD])), True, said.append)
        assert (published, skipped, list(positions.values())) == (3, 1, [3])
        assert [record.value for record in log.records(0, 10)] == GOOD
    assert len(said) == 1


def test_invalid_events_know_their_path() -> None:
    problem = next(iter(dict(read_lines(io.BytesIO(BAD))).values()))
    assert isinstance(problem, InvalidEvent)
    assert problem.path == "$.data.total"
