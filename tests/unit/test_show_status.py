"""The sentences below the tables of `projector status`."""

import pytest
from msgspec import structs

from projector.cli import show
from projector.status import GenerationStatus, PartitionStatus, Status

QUIET = PartitionStatus("orders/0", 7, 7, 0, 0, 0.0, 7, 7, 0, 0, 0, 0, 0, None, None)
LIVE = GenerationStatus(0, "live", "2026-12-01T00:00:00+00:00", 8, 1, True, 3, 300, 100, {"rows": 100})
TITLES = ("Log", "Events, in the live generation", "Read model", "Bytes per group, by kind")


def shown(capsys: pytest.CaptureFixture[str], status: Status) -> tuple[list[str], list[str]]:
    """Returns the titles of the tables, and the sentences."""
    show.status(status)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line in TITLES], [line for line in lines if line.endswith(".")]


def test_a_quiet_log_needs_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, Status([QUIET], [LIVE], 0, [])) == ([*TITLES], [])


def test_without_a_read_model_there_are_no_empty_tables(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "There is no read model yet: projector run makes it."
    assert shown(capsys, Status([QUIET], [], 0, [])) == (["Log"], [sentence])


def test_the_sentences_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        structs.replace(QUIET, lag=3, held_back=3, parked=1),
        structs.replace(QUIET, partition="orders/1", parked=1200, paused_at=9, paused_by="PARKED_MAX"),
    ]
    assert shown(capsys, Status(rows, [LIVE], 1, ["cart.created", 'a"b']))[1] == [
        "orders/0: 3 events cannot be read before a transaction of Kafka has ended.",
        "orders/1 is paused at 9: too many of its events are parked (PARKED_MAX). "
        "To resume: projector parked list, then redrive or discard.",
        "Parked, and not in the list: 1,201 events. Why: projector parked list.",
        "Parked, and not in the dead-letter topic yet: 1 event. Why: the log of the projector.",
        r'Passed over, since their type is of no order: events of type "cart.created", "a\"b".',
    ]
