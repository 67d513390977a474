"""A replay waits while Redis refuses it, and says so, as the projector does."""

from pathlib import Path

import pytest

from tests.integration.rebuilding import Shop
from tests.servers.process import wait_until

# Commands without which a step cannot begin: adding the generation, and writing to it.
RIGHTS = ("hset", "evalsha")


@pytest.mark.parametrize("right", RIGHTS)
def test_until_a_right_is_given_back(tmp_path: Path, one_redis_url: str, right: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(1000)
    with shop.run() as run:
        shop.wait()
        assert run.stop() == 0
    with shop.place.client() as client, shop.start_replay("--yes") as replay:
        client.execute_command("ACL", "SETUSER", "default", f"-{right}")
        try:
            wait_until(lambda: "refuses for now (NOPERM)" in replay.text(), 30, "the replay to wait")
            assert replay.process.poll() is None, replay.text()
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"+{right}")
        assert replay.process.wait(60) == 0, replay.text()
    # A number may have been used up in vain.
    assert sorted(shop.states().values()) == ["kept", "live"]
    shop.check()
