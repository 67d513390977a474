"""Two sides at the same positions: who lags is waited for, and what is no event is not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.errors import FatalError
from projector.verify import level
from projector.verify.level import Level
from projector.verify.picture import Picture
from projector.verify.shards import Answer

A, B = Partition("orders", 0), Partition("orders", 1)


class Expected:
    def __init__(self, positions: dict[Partition, int]) -> None:
        self.positions = positions

    def advance(self, stop: Mapping[Partition, int], touched: object) -> None:
        assert all(offset >= self.positions[p] for p, offset in stop.items()), "never back"
        self.positions = dict(stop)

    def pictures(self, ids: object) -> dict[str, Picture]:
        raise NotImplementedError

    def met(self, pictures: object) -> None:
        raise NotImplementedError


class Log:
    """`events`: the offsets that have one; all others are the log's own."""

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
    """Answers one after the other, and then the last again and again."""

    def __init__(self, *answers: tuple[int, int]) -> None:
        self._answers = list(answers)
        self.looks = 0

    def __call__(self) -> Answer:
        self.looks += 1
        a, b = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return Answer({A: a, B: b}, {}, (), ())


def leveled(expected: Expected, shard: Shard, log: Log | None = None) -> Answer:
    read_from: Any = log or Log()
    told: list[int] = []
    found = Level(expected, read_from, lambda call: call(), lambda: told.append(1))(shard, lambda ids: None)
    assert len(told) == shard.looks, "a long wait must not look like death"
    return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "STILL_MAX_S", 0.02)
    monkeypatch.setattr(level, "LOOK_AGAIN_S", 0.001)


def test_what_is_expected_follows() -> None:
    expected = Expected({A: 3, B: 4})
    assert leveled(expected, Shard((5, 4))).positions == {A: 5, B: 4}
    assert expected.positions == {A: 5, B: 4}


def test_a_shard_that_lags_is_waited_for_while_it_moves() -> None:
    expected, shard = Expected({A: 3, B: 4}), Shard((9, 1), (9, 2), (9, 3), (10, 4))
    assert leveled(expected, shard).positions == {A: 10, B: 4}
    assert shard.looks == 4


def test_one_that_stands_still_is_given_up() -> None:
    with pytest.raises(
        FatalError, match=r"stands still at orders/0@9, orders/1@2, behind another one, at .*0@3, .*1@4"
    ):
        leveled(Expected({A: 3, B: 4}), Shard((9, 2)), Log((B, 3)))


def test_offsets_of_the_log_s_own_are_no_reason_to_wait() -> None:
    """The marker of a transaction comes after the last event, and no projector ever goes past it."""
    expected = Expected({A: 3, B: 4})
    assert leveled(expected, Shard((9, 2)), Log((A, 5), (B, 1))).positions == {A: 9, B: 2}
    assert expected.positions == {A: 9, B: 4}
