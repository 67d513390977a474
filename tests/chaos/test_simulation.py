"""Runs simulated lives by seed, without and with planted bugs."""

import os
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from projector.store.commit import Outcome
from tests.chaos.simulation.life import Life, simulated
from tests.chaos.simulation.plants import PLANTS
from tests.chaos.survived import survived

# `make chaos` runs 100 000.
SEEDS = int(os.environ.get("SIMULATION_SEEDS", 500))
# The number of seeds within which each planted bug must be found.
PLANTED_SEEDS = 1000
FAULTS = (
    *(
        "kill",
        "pause",
        "redis_away",
        "lose_writes",
        "log_away",
        "come_or_go",
        "flake",
        "tear",
        "empty_at_start",
        "switched",
    ),
    *("deafness", "add_partition", "retention", "truncated", "recreated", "restored", "check_now"),
)


@pytest.mark.timeout(120 + SEEDS // 5)
def test_every_life_ends_well() -> None:
    records = stale = torn = 0
    happened: Counter[str] = Counter()
    outcomes: Counter[Outcome] = Counter()
    with simulated():
        for seed in range(SEEDS):
            life = Life(seed)
            try:
                life.run()
            except AssertionError as error:
                raise AssertionError(f"to repeat it: python -m tests.chaos.simulation {seed}") from error
            happened += life.happened
            outcomes += Counter(life.server.memory.outcomes)
            records += life.ledger.records
            stale += life.server.stale
            torn += life.server.torn
    assert {fault for fault in FAULTS if happened[fault] * 100 < SEEDS} == set(), happened
    assert outcomes[Outcome.STORED] > 10 * SEEDS
    assert stale, "no answer was outdated when it was read"
    assert torn > SEEDS / 50, "too few commits failed halfway"
    assert {outcome for outcome in Outcome if not outcomes[outcome]} == set(), outcomes
    survived("seeds of the simulation", SEEDS, records)


@pytest.mark.thorough
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(simulated())
        PLANTS[name](stack)
        assert any(fails(seed) for seed in range(PLANTED_SEEDS)), f"no life shows: {name}"


def fails(seed: int) -> bool:
    try:
        Life(seed).run()
    except AssertionError:
        return True
    return False


def test_a_seed_repeats_itself() -> None:
    """Up to the last step, and without leftover threads."""
    runs: list[list[str]] = []
    before = threading.active_count()
    with simulated():
        for _ in range(2):
            events: list[str] = []
            life = Life(7, events.append)
            life.run()
            found = life.server.memory.found()
            runs.append([*events, str(life.world.now_s), str(found._replace(parked={})), str(sorted(found.parked))])
    assert runs[0] == runs[1]
    assert len(runs[0]) > 5
    assert threading.active_count() == before


def test_there_are_twenty_bugs() -> None:
    assert len(PLANTS) >= 20
