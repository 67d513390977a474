"""SIGKILL at each fail point of a replay: in a worker that builds, and in the process that runs the steps.

A killed step is run again, and killed at the next point, while the projector runs.
"""

import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.processes import projector
from tests.thorough import thorough

# `make chaos` runs 30.
ROUNDS = int(os.environ.get("CHAOS_POINT_ROUNDS", 1))
EVENTS = 1500
# There are 15 windows of several parts: a kill at the fourth call happens in the first four windows or after, and the
# kills leave windows for the last.
SMALL = {"window_records": 100, "part_arguments": 200}
FAIL_TIME_MAX = 2

POINTS = ("ask", "load", "build-reserve", "build-fold", "plan", "part", "finish")
BUILDING = [f"{point}:{when}" for point in POINTS for when in ("before", "after")]
COMMITTING = [f"{point}:{when}" for point in ("ask", "load", "fold", "send", "answer") for when in ("before", "after")]
SWITCHING = [*COMMITTING, "seal:before", "seal:after", "pointer:before", "pointer:after"]
# Kills here leave the live generation sealed until the lease has expired.
SEALED = ("seal:after", "pointer:before")


@pytest.mark.timeout(120 + 480 * ROUNDS)
@pytest.mark.parametrize(
    ("building", "switching"),
    [(("part:after",), ("seal:after", "pointer:after")), *thorough((BUILDING, SWITCHING))],
)
def test_killed_at_each_fail_point_of_a_replay(
    tmp_path: Path, one_redis_url: str, building: Sequence[str], switching: Sequence[str]
) -> None:
    chance = random.Random(3)
    times = records = 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Stage(folder, one_redis_url, seed=number) as stage:
            stage.client.flushdb()
            stage.publish(EVENTS)
            with stage.start("run") as run:
                stage.wait()
                times += build(stage, chance, building)
                times += switch_back_and_forth(stage, switching)
                assert run.stop() == 0
            records += stage.ledger.records
    assert times == ROUNDS * (len(building) + len(switching) + 6)
    survived("`kill -9` at each fail point of `replay`", times, records)


def build(stage: Stage, chance: random.Random, points: Sequence[str]) -> int:
    """Returns the number of kills."""
    for point in points:
        armed = {"fail_at": point, "fail_time": chance.randint(1, FAIL_TIME_MAX)}
        with stage.start("replay", "build", "--yes", "--park", **SMALL, **armed) as replay:
            assert replay.wait_for_end(60) == 2, replay.text()
            assert "a worker was killed by signal 9" in replay.text()
        stage.check_now()
    times = len(points)
    for point in ("workers:after", "bitmaps:after", "close:after"):
        times += killed(stage, point, "build", "--yes", "--park")
    done(stage, "build", "--yes", "--park")
    times += killed(stage, "compare:after", "verify", "--park")
    done(stage, "verify", "--park")
    return times


def switch_back_and_forth(stage: Stage, points: Sequence[str]) -> int:
    """Returns the number of kills."""
    times = 0
    for point in points:
        stage.publish(100)
        stage.wait()
        times += killed(stage, point, "switch", "--park")
        if point in SEALED:
            # The projector resumes without an operator.
            stage.publish(100)
            stage.wait()
        stage.check_now()
    stage.check()
    times += killed(stage, "unseal:after", "rollback")
    done(stage, "rollback")
    stage.publish(100)
    stage.check()
    kept = max(stage.generations())
    times += killed(stage, "delete:after", "drop", str(kept))
    done(stage, "drop", str(kept))
    assert len(stage.generations()) == 1
    stage.check_now()
    return times


def killed(stage: Stage, point: str, *step: str) -> int:
    with stage.start("replay", *step, fail_at=point) as replay:
        assert replay.wait_for_end(60) == -signal.SIGKILL, replay.text()
    return 1


def done(stage: Stage, *step: str) -> None:
    finished = projector("replay", *step, cwd=stage.folder, settings=stage.settings)
    assert finished.returncode == 0, finished.stdout + finished.stderr
