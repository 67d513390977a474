"""The clock of the machine is set, forwards and back, while events come and a replay is made. By libfaketime (Debian's
package faketime), which the projector, the replay and Redis get before their C library.
"""

import os
import random
import subprocess
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

# `make chaos` has 50.
STEPS = int(os.environ.get("CHAOS_CLOCK_STEPS", 6))
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
# In seconds.
SIZES = (-86_400, -3_600, -10, -1, 1, 10, 3_600, 86_400)


class Clock:
    """`settings`: for processes that go by it. The steady clock is left alone, as the kernel leaves it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.settings = {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def shift(self) -> int:
        """What processes that go by it see, in seconds ahead of ours."""
        told = subprocess.run(["date", "+%s"], env=self.settings, capture_output=True, text=True, check=True)
        return int(told.stdout) - int(time.time())

    def set(self, ahead_s: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+}")
        new.replace(self._file)
        assert abs(self.shift() - ahead_s) <= 2, "the clock was not set"


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not _LIBRARY.exists():
        without("there is no libfaketime: apt-get install faketime")
    return Clock(tmp_path / "clock")


@pytest.mark.chaos
@pytest.mark.timeout(120 + 20 * STEPS)
def test_steps_of_the_clock(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last home, the Valkey of the wheel: libfaketime does not go with the allocator of Debian's Redis."""
    chance = random.Random(6)
    with (
        environment(monkeypatch, clock.settings),
        RedisServer(startable_homes()[-1]) as server,
        Stage(tmp_path, server.url) as stage,
        Projector(tmp_path, **stage.settings, **clock.settings) as run,
    ):
        for _ in range(STEPS):
            stage.publish(300)
            # Of this process' own clock nothing depends.
            replay = Process("replay", "--yes", "--park", cwd=tmp_path, **stage.settings, **clock.settings)
            with replay:
                wait_until(lambda: stage.client.exists("{og:live}:replay") == 1, 30, "a replay")
                clock.set(chance.choice(SIZES))
                stage.publish(300)
                # Its lease may have expired by the step: then it says so, and the next one goes on.
                assert replay.process.wait(60) in (0, 2), replay.text()
            stage.wait()
            stage.check_now()
            wait_until(run.is_ready, 30, "ready")
        again = projector("replay", "--yes", "--park", cwd=tmp_path, settings=stage.settings)
        assert again.returncode == 0, again.stdout + again.stderr
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    survived("the clock is set, up to a day", STEPS, stage.ledger.records)


@contextmanager
def environment(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> Iterator[None]:
    with monkeypatch.context() as patched:
        for name, value in settings.items():
            patched.setenv(name, value)
        yield
