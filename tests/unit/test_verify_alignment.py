"""Alignment waits for a shard that lags behind events, and not for offsets that hold none."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.errors import FatalError
from projector.verify import alignment
from projector.verify.alignment import Alignment
from projector.verify.shards import Answer
from projector.verify.snapshot import Snapshot

A, B = Partition("orders", 0), Partition("orders", 1)


class Expected:
    events = 0

    def __init__(self, positions: dict[Partition, int]) -> None:
        self.positions = positions

    def advance(self, stop: Mapping[Partition, int], on_changed: object) -> None:
        assert all(offset >= self.positions[p] for p, offset in stop.items()), "positions never go back"
        self.positions = dict(stop)

    def snapshots(self, ids: object) -> dict[str, Snapshot]:
        raise NotImplementedError


class Log:
    """`events`: the offsets that hold an event."""

    def __init__(self, *events: tuple[Partition, int]) -> None:
        self._events = events
        self.positions: dict[Partition, int] = {}

    def read(self, start: Mapping[Partition, int]) -> "Log":
        self.positions = dict(start)
        return self

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        found = [Record(p, at, 0, None, None) for p, at in self._events if self.positions[p] <= at < stop[p]]
        self.positions = dict(stop)
        return found

    def close(self) -> None: ...


class Shard:
    """Returns the answers one after the other, then the last one again and again."""

    def __init__(self, *answers: tuple[int, int]) -> None:
        self._answers = list(answers)
        self.reads = 0

    def __call__(self) -> Answer:
        self.reads += 1
        a, b = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return Answer({A: a, B: b}, {}, {}, ())


def aligned(expected: Expected, shard: Shard, log: Log | None = None) -> Answer:
    read_from: Any = log or Log()
    heartbeats: list[int] = []
    found = Alignment(expected, read_from, lambda call: call(), lambda: heartbeats.append(1)).read(
        shard, lambda ids: None
    )
    assert len(heartbeats) == shard.reads, "a heartbeat for each read: a long wait must not look like a hang"
    return found


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "STALL_MAX_S", 0.02)
    monkeypatch.setattr(alignment, "READ_EVERY_S", 0.001)


def test_what_is_expected_advances_to_the_shard() -> None:
    expected = Expected({A: 3, B: 4})
    assert aligned(expected, Shard((5, 4))).positions == {A: 5, B: 4}
    assert expected.positions == {A: 5, B: 4}


def test_a_lagging_shard_is_waited_for_while_its_positions_change() -> None:
    expected, shard = Expected({A: 3, B: 4}), Shard((9, 1), (9, 2), (9, 3), (10, 4))
    assert aligned(expected, shard).positions == {A: 10, B: 4}
    assert shard.reads == 4


def test_a_lagging_shard_whose_positions_stay_is_an_error() -> None:
    with pytest.raises(
        FatalError, match=r"stays at orders/0@9, orders/1@2 for 0.02 s, behind another one at .*0@3, .*1@4"
    ):
        aligned(Expected({A: 3, B: 4}), Shard((9, 2)), Log((B, 3)))


def test_offsets_without_events_are_not_waited_for() -> None:
    """A transaction's marker follows the last event, and no projector's position passes it."""
    expected = Expected({A: 3, B: 4})
    assert aligned(expected, Shard((9, 2)), Log((A, 5), (B, 1))).positions == {A: 9, B: 2}
    assert expected.positions == {A: 9, B: 4}
