"""Steps the wall clock forwards and back, while events are published and a replay runs. libfaketime (Debian's package
faketime) shifts Redis' clock, tests/chaos/clocked that of our processes.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.conftest import without
from tests.integration.watched import Projector
from tests.processes import Process, projector
from tests.servers.process import wait_until
from tests.servers.redis import RedisServer, startable_homes

# `make chaos` runs 50.
STEPS = int(os.environ.get("CHAOS_CLOCK_STEPS", 6))
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
# Sizes of steps, in seconds.
SIZES = (-86_400, -3_600, -10, -1, 1, 10, 3_600, 86_400)


class Clock:
    """A clock to set. `of_redis`, `ours`: environments that shift the clock of a process."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "clock-of-redis", folder / "clock")
        self.of_redis = {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._files[0]),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.ours = {"CLOCK_FILE": str(self._files[1]), "PYTHONPATH": str(Path(__file__).parent / "clocked")}
        self.set(0)

    def set(self, ahead_s: int) -> None:
        for file in self._files:
            new = file.with_suffix(".new")
            new.write_text(f"{ahead_s:+}")
            new.replace(file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not _LIBRARY.exists():
        without("there is no libfaketime: apt-get install faketime")
    return Clock(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(120 + 20 * STEPS)
def test_steps_of_the_clock(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses the last home, the wheel's Valkey: libfaketime does not work with the allocator of Debian's Redis."""
    chance = random.Random(6)
    with (
        environment(monkeypatch, clock.of_redis),
        RedisServer(startable_homes()[-1]) as server,
        Stage(tmp_path, server.url) as stage,
        Projector(tmp_path, **stage.settings, **clock.ours) as run,
    ):
        for _ in range(STEPS):
            stage.publish(300)
            replay = Process("replay", "--yes", "--park", cwd=tmp_path, **stage.settings, **clock.ours)
            with replay:
                wait_until(lambda: stage.client.exists("{og:live}:replay") == 1, 30, "a replay")
                size = chance.choice(SIZES)
                clock.set(size)
                wait_until(lambda: abs(ahead_s(stage) - size) <= 2, 10, "Redis to have the new time")  # noqa: B023
                stage.publish(300)
                # 2: the step has made its lease expire.
                assert replay.wait_for_end(60) in (0, 2), replay.text()
            stage.wait()
            stage.check_now()
            wait_until(run.is_ready, 30, "ready")
        again = projector("replay", "--yes", "--park", cwd=tmp_path, settings=stage.settings)
        assert again.returncode == 0, again.stdout + again.stderr
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    survived("the clock is set, up to a day", STEPS, stage.ledger.records)


def ahead_s(stage: Stage) -> int:
    """Returns by how many seconds the clock of Redis is ahead. Redis keeps the time of the last turn of its loop."""
    seconds: int = stage.client.time()[0]
    return seconds - int(time.time())


@contextmanager
def environment(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> Iterator[None]:
    with monkeypatch.context() as patched:
        for name, value in settings.items():
            patched.setenv(name, value)
        yield
