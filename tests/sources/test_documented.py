"""The commands of the pages that need a shop's database: a shop connected, and the first look of each runbook."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from events.logs.kafka.url import kafka_settings
from tests.conftest import without
from tests.documented import blocks, here, run, running, shell
from tests.issuer import ec_key, issuing, jwk
from tests.processes import Api, Process, projector, wait_until_applied
from tests.servers.process import free_port, wait_until
from tests.sources.mercur import Mercur
from tests.thorough import thorough

START_S = 30.0


@pytest.mark.parametrize(
    "script",
    [shell("connecting.md", "In three commands"), *thorough(shell("README.md", "Connect your shop"))],
    ids=["connecting", "readme"],
)
def test_a_shop_in_three_commands(script: str, shop: Mercur, empty_url: str, tmp_path: Path) -> None:
    groups = [shop.checkout() for _ in range(3)]
    script = re.sub(r"postgresql://\S+", shlex.quote(empty_url), here(script))
    with running(script, tmp_path, API_PORT=str(free_port())) as output:
        wait_until(lambda: "\ncurl " in output.read_text(), START_S, "the curl line")
        line = re.search(r"^curl .*$", output.read_text(), re.M)
        assert line

        def listed() -> set[str]:
            answer = subprocess.run([*shlex.split(line[0]), "-sS"], capture_output=True, check=True)
            return {one["id"] for one in json.loads(answer.stdout)["order_groups"]}

        wait_until(lambda: listed() == {*groups}, START_S, "the orders of the shop")
    removed = run("projector source remove", tmp_path, "y\n", SOURCE_URL=empty_url)
    assert "Removed: " in removed


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_the_first_look_of_each_runbook(
    shop: Mercur, empty_url: str, tmp_path: Path, kafka_topic: Callable[[int], str], one_redis_url: str
) -> None:
    """Each command once, with a system that is as large as it gets: source, projector, API, issuer, a parked event."""
    if missing := [name for name in ("redis-cli", "psql", "curl") if shutil.which(name) is None]:
        without(f"there is no {' and no '.join(missing)}")
    looks = [text for place, texts in blocks().items() if place.page.startswith("runbooks/Order") for text in texts]
    assert len(looks) >= 34
    lines = dict.fromkeys(re.sub(r"\s+# .*", "", line) for text in looks for line in here(text).splitlines())
    assert len(lines) >= 25
    log, health_port = kafka_topic(1), free_port()
    settings = {"EVENT_LOG_URL": log, "REDIS_URL": one_redis_url, "SOURCE_URL": empty_url}
    shop.checkout()
    for arguments, stdin in ((("source", "install"), b""), (("publish", "-", "--unchecked"), b"broken\n")):
        done = projector(*arguments, cwd=tmp_path, stdin=stdin, settings=settings)
        assert done.returncode == 0, done.stderr
    partition = f"{kafka_settings(log, {}).topic}/0"
    parked = f"{partition}@0"
    with (
        Process("run", cwd=tmp_path, PROJECTOR_PORT=str(health_port), **settings),
        Process("source", "run", cwd=tmp_path, **settings),
        Api(tmp_path, one_redis_url) as api,
        issuing(jwk(ec_key(), kid="1")) as issuer,
        redis.Redis.from_url(one_redis_url) as client,
    ):
        projector("source", "backfill", cwd=tmp_path, settings=settings)
        wait_until_applied(client, {partition: 3})
        api.wait_until_ready()
        for line in lines:
            for shown, ours in ((":9000", f":{api.port}"), (":9001", f":{health_port}"), ("orders/0@81235", parked)):
                line = line.replace(shown, ours)
            run(line, tmp_path, JWKS_URL=issuer.url, **settings)
