"""SIGKILL at random times under full load, and at each fail point: nothing is lost or applied twice."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.thorough import thorough

# `make chaos` runs 300, and 30.
KILLS = int(os.environ.get("CHAOS_KILLS", 10))
ROUNDS = int(os.environ.get("CHAOS_POINT_ROUNDS", 1))
# Kills per read model; the next one begins with another seed.
KILLS_PER_MODEL = 5
# Records in the log when a process starts that will be killed, so that it is never idle.
BACKLOG = 2_500
# At most so many of them are applied when it is killed.
AT_MAX = 2_000

RUN_POINTS = [
    f"{point}:{when}"
    for point in ("ask", "load", "reserve", "fold", "send", "answer", "mark")
    for when in ("before", "after")
]
# Before and after a commit is sent, and before its result is known to the loop.
QUICK_POINTS = ["send:before", "send:after", "answer:after", "mark:before"]
# Points that a process may pass less often than the others.
PASSED = {"reserve": 1, "mark": 2}


@pytest.mark.thorough
@pytest.mark.timeout(120 + 10 * KILLS)
def test_killed_at_random_at_full_load(tmp_path: Path, one_redis_url: str) -> None:
    chance = random.Random(1)
    killed = busy = records = 0
    while killed < KILLS:
        folder = tmp_path / str(killed)
        folder.mkdir()
        with Stage(folder, one_redis_url, seed=killed) as stage:
            stage.client.flushdb()
            for _ in range(min(KILLS_PER_MODEL, KILLS - killed)):
                stage.publish(BACKLOG)
                target = stage.applied() + chance.randint(1, AT_MAX)
                with stage.start("run") as run:
                    wait_while(lambda: stage.applied() < target)  # noqa: B023
                    busy += stage.applied() < sum(stage.ledger.ends.values())
                    killed += run.stop(signal.SIGKILL) == -signal.SIGKILL
                stage.check_now()
            with stage.start("run") as run:
                stage.check()
                assert run.stop() == 0
            records += stage.ledger.records
    assert killed == KILLS
    assert busy >= KILLS * 0.7, "too many were idle when they were killed"
    survived("`kill -9` at random moments at full load", killed, records)


@pytest.mark.timeout(120 + 120 * ROUNDS)
@pytest.mark.parametrize("points", [QUICK_POINTS, *thorough(RUN_POINTS)], ids=len)
def test_killed_at_each_fail_point_of_run(
    kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str, points: list[str]
) -> None:
    """A static member: its successor takes over at once."""
    chance = random.Random(2)
    died, records = [], 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Stage(folder, one_redis_url, kafka_topic(2) + "&instance=one", seed=number) as stage:
            stage.client.flushdb()
            for i, point in enumerate(points):
                stage.publish(800)
                nth = chance.randint(1, PASSED.get(point.partition(":")[0], 4))
                # There are more batches than `nth`, however the log splits the records.
                with stage.start("run", fail_at=point, fail_time=nth, batch_records=100) as run:
                    assert run.wait_for_end(60) == -signal.SIGKILL, run.text()
                died.append(point)
                stage.check_now()
                if i % 2:
                    # A clean exit: after two deaths at one event, the third process would park it as a poison pill.
                    with stage.start("run") as run:
                        # Otherwise everything may be applied already, and it could be stopped before its start is done.
                        stage.publish(10)
                        stage.wait()
                        assert run.stop() == 0
            with stage.start("run") as run:
                stage.check()
                assert run.stop() == 0
            records += stage.ledger.records
    assert died == points * ROUNDS
    survived("`kill -9` at each fail point of `run`", len(died), records)


def wait_while(waiting: Callable[[], bool]) -> None:
    """Polls without a pause: everything would be applied soon after."""
    deadline_s = time.monotonic() + 30
    while waiting():
        assert time.monotonic() < deadline_s
