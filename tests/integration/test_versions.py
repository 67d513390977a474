"""Two versions of the code run, as during a deployment: each serves its own generation, and one writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from projector.readmodel.schema.keys import VERSION
from tests import readmodel, stored
from tests.integration.rebuilding import Shop
from tests.processes import Api, Process, projector
from tests.servers.process import wait_until

NEW = str(Path(__file__).parent / "version_two")
NEW_SELLERS = 1000


@pytest.mark.timeout(200)
def test_a_rolling_deployment_and_back(tmp_path: Path, one_redis_url: str, kafka_topic: Callable[[int], str]) -> None:
    shop = Shop(tmp_path, one_redis_url, kafka_topic(3))
    shop.publish(2000)
    new = {**shop.settings, "PYTHONPATH": NEW}
    with (
        shop.run() as old,
        Api(tmp_path, one_redis_url) as old_api,
        Api(tmp_path, one_redis_url, PYTHONPATH=NEW) as new_api,
    ):
        shop.wait()
        refused = projector("run", cwd=tmp_path, settings=new)
        assert refused.returncode == 2
        assert "projector replay" in refused.stderr
        assert "--auto-replay" in refused.stderr
        assert new_api.client.get("/admin/order-groups").status_code == 503
        assert new_api.client.get("/health/ready").status_code == 503
        with (
            Process("run", "--auto-replay", cwd=tmp_path, **new) as first,
            Process("run", "--auto-replay", cwd=tmp_path, **new) as second,
        ):
            wait_until(lambda: shop.live() == (1, 1), 60, "the new version live")
            wait_until(lambda: "standing by" in old.text(), 20, "the old version stands by")
            shop.publish(500)
            shop.wait()
            wait_until(lambda: sellers(new_api) > NEW_SELLERS, 10, "the new API serves the new version")
            # Until it is replaced, the old one serves its generation.
            assert sellers(old_api) < NEW_SELLERS
            assert old_api.client.get("/health/ready").status_code == 503
            wait_until(lambda: new_api.client.get("/health/ready").status_code == 200, 10, "the text")
            assert {first.process.poll(), second.process.poll(), old.process.poll()} == {None}
            # Rollback by the code of that version.
            assert f"version {VERSION}" in projector("replay", "rollback", cwd=tmp_path, settings=new).stderr
            shop.replay("rollback")
            assert shop.live() == (0, 1)
            shop.publish(500)
            shop.wait()
            readmodel.check(shop.model(), shop.events)
            assert sellers(old_api) < NEW_SELLERS
            wait_until(lambda: old_api.client.get("/health/ready").status_code == 200, 10, "the text")
            wait_until(
                lambda: "standing by" in first.text() and "standing by" in second.text(), 20, "the new ones stand by"
            )
            assert (first.stop(), second.stop(), old.stop()) == (0, 0, 0)


@pytest.mark.thorough
def test_by_hand(tmp_path: Path, one_redis_url: str) -> None:
    """Without --auto-replay. Rows of another version differ, so the log is what a build is compared with."""
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(500)
    with shop.run():
        shop.wait()
        new = {**shop.settings, "PYTHONPATH": NEW}
        done = projector("replay", "--yes", "--json", cwd=tmp_path, settings=new)
        assert done.returncode == 0, done.stderr
        verified = json.loads(done.stdout.splitlines()[2])
        assert (verified["step"], verified["differences"]) == ("verify", 0)
        assert shop.live() == (1, 1)
    with Process("run", cwd=tmp_path, **new):
        shop.publish(100)
        shop.wait()
    with shop.place.client() as client:
        rows = client.hvals(readmodel.prefixes(1, 1)[0] + "row")
    counts = [json.loads(row[stored.HEAD_BYTES :].split(b"\xff")[0])["seller_count"] for row in rows]
    assert counts
    assert min(counts) > NEW_SELLERS


def sellers(api: Api) -> int:
    answer = api.client.get("/admin/order-groups?limit=1")
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["order_groups"][0]["seller_count"]
    return count
