"""SIGKILL during a build: the next build continues, with the same result. At each fail point: see tests/chaos."""

import json
import os
import random
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests import readmodel
from tests.chaos.survived import survived
from tests.integration.rebuilding import Shop, content
from tests.processes import Process
from tests.servers.process import wait_until

EVENTS = 40_000
# `make chaos` has 20.
KILLS = int(os.environ.get("REPLAY_KILLS", 5))
# The exit code of a command that SIGTERM has stopped.
STOPPED = 130


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Shop:
    return Shop(tmp_path, one_redis_url)


@pytest.mark.thorough
@pytest.mark.timeout(200 + 20 * KILLS)
def test_builds_killed_at_random(shop: Shop) -> None:
    """Each build is killed after it has written some more groups. Now and then one gets SIGTERM instead."""
    chance = random.Random(20)
    shop.publish(EVENTS)
    shop.steps("--yes")
    model = shop.model()
    shop.steps("build", "--yes")
    undisturbed = json.loads(shop.replay("verify", "--json").stdout)
    shop.replay("drop", "1")
    number, killed, terminated = 2, 0, 0
    while killed < KILLS:
        with shop.start_replay("build", "--yes") as replay:
            wait_until(partial(is_at_work, shop, replay), 20, "the replay")
            more = shop.groups(number) + chance.randrange(1, len(model.documents) // 20)
            wait_until(partial(has_written, shop, number, more, replay), 60, f"{more} groups")
            if replay.process.poll() is None and killed % 5 == 4 and terminated <= killed // 5:
                terminated += replay.stop(signal.SIGTERM) == STOPPED
            elif replay.process.poll() is None:
                workers = workers_of(replay)
                killed += replay.stop(signal.SIGKILL) == -signal.SIGKILL
                # By turns the workers are killed, too, or left to stop because their parent is gone.
                for pid in workers if killed % 2 else ():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            is_done = replay.process.wait() == 0
        if is_done:
            # It ended before it was killed: start from the beginning.
            shop.replay("drop", str(number))
            number += 1
    assert terminated
    shop.replay("build", "--yes")
    after_kills = json.loads(shop.replay("verify", "--json").stdout)
    assert after_kills["documents"] == undisturbed["documents"]
    assert after_kills["index_entries"] == undisturbed["index_entries"]
    assert content(shop.model(number)) == content(model)
    readmodel.check_accounting(shop.model(number), EVENTS)
    survived("`kill -9` of a build at random moments", killed, EVENTS)


def is_at_work(shop: Shop, replay: Process) -> bool:
    """Returns whether this replay, not an earlier one, holds the lease, or it has ended."""
    with shop.place.client() as client:
        held = client.get("{og:live}:replay")
    return replay.process.poll() is not None or (held is not None and json.loads(held)["pid"] == replay.process.pid)


def has_written(shop: Shop, number: int, groups: int, replay: Process) -> bool:
    return replay.process.poll() is not None or shop.groups(number) >= groups


def workers_of(replay: Process) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(replay.process.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
