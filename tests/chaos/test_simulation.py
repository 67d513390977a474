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
from tests.thorough import thorough

# `make chaos` runs 100 000.
SEEDS = [int(os.environ["SIMULATION_SEEDS"])] if "SIMULATION_SEEDS" in os.environ else [250, *thorough(1000)]
SEEDS_PER_S = 5
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
        "lose_reservations",
        "switched",
    ),
    *("deafness", "add_partition", "retention", "truncated", "recreated", "restored", "check_now"),
)


@pytest.mark.timeout(120 + int(os.environ.get("SIMULATION_SEEDS", 1000)) // SEEDS_PER_S)
@pytest.mark.parametrize("seeds", SEEDS)
def test_every_life_ends_well(seeds: int) -> None:
    records = stale = torn = forgotten = 0
    happened: Counter[str] = Counter()
    outcomes: Counter[Outcome] = Counter()
    with simulated():
        for seed in range(seeds):
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
            forgotten += life.server.forgotten
    assert {fault for fault in FAULTS if happened[fault] * 100 < seeds} == set(), happened
    assert outcomes[Outcome.STORED] > 10 * seeds
    assert stale, "no answer was outdated when it was read"
    assert torn > seeds / 50, "too few commits failed halfway"
    assert forgotten > seeds / 50, "too few reservations were lost"
    assert {outcome for outcome in Outcome if not outcomes[outcome]} == set(), outcomes
    survived("seeds of the simulation", seeds, records)


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
    except AssertionError as error:
        if isinstance(error.__cause__, AttributeError | NameError | TypeError):
            # The plant does not fit the code that it changes.
            raise
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
            found = life.found()
            runs.append([*events, str(life.world.now_s), str(found._replace(parked={})), str(sorted(found.parked))])
    assert runs[0] == runs[1]
    assert len(runs[0]) > 5
    assert threading.active_count() == before


def test_there_are_twenty_bugs() -> None:
    assert len(PLANTS) >= 20
