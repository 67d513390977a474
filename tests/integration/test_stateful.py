"""Random operations on a real Redis and on the simulated store: batches, duplicates, rewinds, lost answers, and other
processes.
"""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from events.logs.log import Partition, Record
from projector.cache import Cache
from projector.project import Known, decode_record, group_ids, project
from projector.store.commit import Advance, Outcome
from projector.store.request import request
from tests.chaos.homes import ReadModelHome, RealHome, SimulatedHome, check, reserve_what_was_reserved
from tests.integration.committing import make_values_broad
from tests.strategies import histories
from tests.thorough import thorough

PARTITIONS = (Partition("orders", 0), Partition("orders", 1))
# Lives, and commits at least.
LIVES = [(30, 10), *thorough((120, 100))]


class Life(RuleBasedStateMachine):
    """Two partitions with events of the same groups. Each event may come in any partition, in any order, repeatedly."""

    place: ReadModelHome
    commits = 0

    @initialize(events=histories(2, 12), seed=st.integers(0, 2**32))
    def begin(self, events: list[dict[str, Any]], seed: int) -> None:
        chance = random.Random(seed)
        self.place.empty()
        self.store = self.place.store
        self.generation = self.store.generation()
        self.cache = Cache(groups_max=2)
        self.logs: dict[Partition, list[dict[str, Any]]] = {partition: [] for partition in PARTITIONS}
        delivered = events + chance.choices(events, k=len(events))
        chance.shuffle(delivered)
        for event in delivered:
            self.logs[chance.choice(PARTITIONS)].append(event)
        self.stands: dict[Partition, int | None] = dict.fromkeys(PARTITIONS)
        self.last: list[str | bytes] | None = None
        self.is_doubled = False

    @rule(data=st.data(), cached=st.booleans())
    def apply(self, data: st.DataObject, cached: bool) -> None:
        """Applies a batch of one or both partitions, like the main loop."""
        records = []
        for partition in PARTITIONS:
            start = self.stands[partition] or 0
            stop = data.draw(st.integers(start, min(start + 5, len(self.logs[partition]))))
            records += self._records(partition, start, stop)
        advances = {
            partition: Advance(self.stands[partition], max(r.offset for r in records if r.partition == partition) + 1)
            for partition in {record.partition for record in records}
        }
        if not advances:
            return
        batch = [decode_record(record) for record in records]
        ids = group_ids(batch)
        loaded = dict(self.store.load(self.generation, 0, ids))
        before: dict[str, Known] = {}
        for group_id in ids:
            if cached and (found := self.cache.take(group_id)):
                before[group_id] = found
                del loaded[group_id]
        change = project(before | self.store.known(self.generation, 0, loaded), batch)
        sent = request(change, advances)
        outcome = self.store.commit(self.generation, 0, sent).outcome()
        if outcome is Outcome.CHANGED:
            assert cached, "what was loaded just now cannot have changed"
            self.cache.clear()
            return
        if outcome is Outcome.TAKEN:
            assert self.is_doubled, "what was reserved is free, unless a failover has lost that"
            self.store.ordinals.drop(self.generation, 0)
            return
        assert outcome is Outcome.STORED
        self.cache.put(change.after)
        self.stands.update((partition, advance.stop) for partition, advance in advances.items())
        self.last = sent
        Life.commits += 1
        self._check()

    @precondition(lambda self: self.last is not None)
    @rule()
    def lose_the_answer(self) -> None:
        """Sends the same request again, which must write nothing."""
        assert self.last is not None
        assert self.store.commit(self.generation, 0, self.last).outcome() is Outcome.ALREADY
        self._check()

    @rule(data=st.data())
    def be_another_process(self, data: st.DataObject) -> None:
        """Commits from an earlier or a later position than Redis', which must write nothing."""
        partition = data.draw(st.sampled_from(PARTITIONS))
        stands = self.stands[partition] or 0
        wrong = data.draw(st.integers(0, stands + 3).filter(lambda start: start != stands))
        batch = [decode_record(record) for record in self._records(partition, 0, len(self.logs[partition]))]
        new = dict.fromkeys(group_ids(batch))
        change = project(self.store.known(self.generation, 0, new), batch)
        sent = request(change, {partition: Advance(wrong, stands + 4)})
        expected = Outcome.BEHIND if self.stands[partition] is None or wrong > stands else Outcome.AHEAD
        assert self.store.commit(self.generation, 0, sent).outcome() is expected
        self._check()

    @rule()
    def lose_a_reservation(self) -> None:
        """What we reserve was another writer's, and a failover has lost that."""
        reserve_what_was_reserved(self.place, self.generation)
        self.is_doubled = True

    @rule()
    def lose_everything(self) -> None:
        """Empties Redis, and starts again with an outdated cache."""
        self.place.empty()
        self.generation = self.store.generation()
        self.stands = dict.fromkeys(PARTITIONS)
        self.last = None
        self.is_doubled = False
        self._check()

    def _records(self, partition: Partition, start: int, stop: int) -> list[Record]:
        events = self.logs[partition][start:stop]
        return [Record(partition, start + i, 0, None, json.dumps(event).encode()) for i, event in enumerate(events)]

    def _check(self) -> None:
        applied = [event for partition in PARTITIONS for event in self.logs[partition][: self.stands[partition] or 0]]
        check(self.place, applied, len(applied))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("lives", "commits_min"), LIVES)
def test_any_life_in_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch, lives: int, commits_min: int) -> None:
    ends_in_the_same_read_model(RealHome(redis_url), monkeypatch, lives, commits_min)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("lives", "commits_min"), LIVES)
def test_any_life_in_the_simulation(monkeypatch: pytest.MonkeyPatch, lives: int, commits_min: int) -> None:
    ends_in_the_same_read_model(SimulatedHome(), monkeypatch, lives, commits_min)


def ends_in_the_same_read_model(
    place: ReadModelHome, monkeypatch: pytest.MonkeyPatch, lives: int, commits_min: int
) -> None:
    # Low, so that values get bitmaps here, too.
    make_values_broad(monkeypatch, 2)
    Life.place = place
    Life.commits = 0
    try:
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=lives, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        Life.place.close()
    assert Life.commits > commits_min, "too little was done to mean anything"
