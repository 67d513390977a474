"""Redis' append-only file ends within a transaction, as after a power cut.

Redis cuts off what is not whole, and by its version leaves the transaction's beginning in the file: at the next start
it applies that beginning together with the first transaction behind it.
"""

from pathlib import Path

import pytest

from tests.chaos.stage import Stage, good
from tests.chaos.survived import survived
from tests.integration.watched import Projector
from tests.poison import event
from tests.servers.aof import tear, written_file
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

HEALED_S = 30.0
GROUPS = 40


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("runs", [True, False], ids=["noticed", "while no projector runs"])
def test_half_a_transaction_is_never_applied(redis_binary: RedisHome, tmp_path: Path, runs: bool, share: float) -> None:
    with RedisServer(redis_binary) as server, Stage(tmp_path, server.url) as stage:
        with Projector(tmp_path, **stage.settings) as run:
            stage.publish(200)
            update(stage, 1)
            stage.wait()
            file = written_file(server.directory)
            whole = file.stat().st_size
            update(stage, 2)
            stage.wait()
            if not runs:
                # One that was killed would have its successor apply events one at a time.
                assert run.stop() == 0
            server.kill()
            tear(file, whole, share)
            # Read again together with these, each group gets other bits than in the torn commit.
            update(stage, 3)
            stage.publish(400)
            server.restart()
            if runs:
                heal(stage, run)
                assert "Redis has lost writes" in run.text()
        if not runs:
            # The torn commit's process is long gone: one event at a time would make its groups what they were.
            stage.client.delete("{og:live}:started")
            with Projector(tmp_path, **stage.settings) as run:
                heal(stage, run)
        server.shut_down()
        server.restart()
        stage.check()
    survived("an append-only file ends within a transaction", 1, stage.ledger.records)


def update(stage: Stage, version: int) -> None:
    """The same groups each time, in one commit if nothing else is waiting."""
    events = [
        event(n, version=version, total=1000 * 7**version + n, updated_at=f"2026-06-0{version}T10:00:{n:02}.000Z")
        for n in range(GROUPS)
    ]
    stage.append([good(one) for one in events])


def heal(stage: Stage, run: Projector) -> None:
    stage.wait(HEALED_S)
    wait_until(run.is_ready, HEALED_S, "ready")
    assert run.stop() == 0
