"""The commands of docs/tutorial.md, in order, as a reader types them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_up import Up
from tests.processes import environment
from tests.servers.process import wait_until

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.thorough
def test_the_tutorial(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    script = "".join(blocks)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with Up(tmp_path, "--demo") as up:
        up.wait()
        wait_until(lambda: up.curl()["count"] > 1000, 30, "the history of the demo")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**environment(API_PORT=str(up.port)), "PATH": programs},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        listed = re.findall(r'"id":"og_mine","customer_id":"cus_1",("seller_count":\d+,"total":[\d.]+),', done.stdout)
        # Published; published again; after the event that was meant; after replay and rollback.
        assert listed == ['"seller_count":2,"total":47.5'] * 2 + ['"seller_count":2,"total":50'] * 2
        assert "$.data.total: expected decimal" in done.stdout
        assert "it stays parked" in done.stdout
        assert "All equal" in done.stdout
        assert up.stop(signal.SIGINT, 15) == 0
