"""Redis' append-only file ends within a transaction, as after a power failure.

Redis truncates the incomplete command. Some versions leave the transaction's beginning in the file, and apply it at the
next start together with the transaction that follows.
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
from tests.thorough import thorough

HEALED_S = 30.0
GROUPS = 40


@pytest.mark.parametrize("share", [0.5, *thorough(0.9)])
@pytest.mark.parametrize("runs", [True, False], ids=["while a projector runs", "while no projector runs"])
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
                # A clean exit: after a kill, the successor would apply one event at a time.
                assert run.stop() == 0
            server.kill()
            tear(file, whole, share)
            # Applied again together with these events, each group gets other bits than in the torn commit.
            update(stage, 3)
            stage.publish(400)
            server.restart()
            if runs:
                heal(stage, run)
                assert "Redis has lost writes" in run.text()
        if not runs:
            # Without marks: applied one at a time, the events would repeat the states of the torn commit.
            stage.client.delete("{og:live}:started")
            with Projector(tmp_path, **stage.settings) as run:
                heal(stage, run)
        server.shut_down()
        server.restart()
        stage.check()
    survived("an append-only file ends within a transaction", 1, stage.ledger.records)


def update(stage: Stage, version: int) -> None:
    """Updates the same groups each time, in one commit if nothing else is pending."""
    events = [
        event(n, version=version, total=1000 * 7**version + n, updated_at=f"2026-06-0{version}T10:00:{n:02}.000Z")
        for n in range(GROUPS)
    ]
    stage.append([good(one) for one in events])


def heal(stage: Stage, run: Projector) -> None:
    stage.wait(HEALED_S)
    wait_until(run.is_ready, HEALED_S, "ready")
    assert run.stop() == 0
