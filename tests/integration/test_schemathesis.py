"""schemathesis reads the description that the API serves, and holds every answer to it.

Its command line rather than its Python interface: it runs its own hypothesis, with warnings of its own.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.seed import go_live, make_groups, write
from tests.processes import Api, environment, token

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Time for the whole run, in seconds: what is not spent by then is left out.
RUN_S = 30
CASES_MIN = 400
SEED = 20260601


@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_no_answer_is_outside_the_description(one_redis_url: str, tmp_path: Path) -> None:
    with Redis.from_url(one_redis_url) as client:
        prefix = write(client, make_groups(random.Random(6), 200))
        # What the example of X-Min-Position asks for.
        client.hset(prefix + "position", mapping={"orders/0": 81235, "orders/1": 90210})
        go_live(client)
    report = tmp_path / "report.json"
    settings = {"OPENAPI_ACCESS": "open", "ACCESS_LOG": "off", "OPERATOR_ACTOR_IDS": "user_1"}
    with Api(tmp_path, one_redis_url, **settings) as api:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "--no-color", "run"),
            *(f"http://127.0.0.1:{api.port}/openapi.json", "--header", f"Authorization: Bearer {token()}"),
            *("--max-examples", "40", "--seed", str(SEED), "--max-time", str(RUN_S), "--continue-on-failure"),
            # A stream does not end.
            *("--exclude-path", "/admin/order-groups/changes"),
            *("--report", "json", "--report-json-path", str(report), "--max-response-time", "10"),
        ]
        env = environment(SCHEMATHESIS_HOOKS=str(CONFIG.with_name("schemathesis_hooks.py")))
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout[-200_000:] + done.stderr[-2000:]
    found = json.loads(report.read_text())
    assert found["test_cases"]["generated"] >= CASES_MIN, "too little was asked to mean anything"
    assert (found["failures"], found["errors"]) == ([], [])
    assert {name: told for name, told in found["warnings"].items() if told} == {}
