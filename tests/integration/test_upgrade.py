"""Version 7 of the read model, run from its commit, becomes version 8 and again 7 while lists are served."""

import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rebuilding import Shop
from tests.processes import Api, Process, projector
from tests.servers.process import wait_until

ROOT = Path(__file__).parents[2]
# The last commit that writes version 7.
VERSION_7 = "548cb84"
EVENTS, MORE = 5000, 500

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def version_7(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a folder with the code, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("version_7")
    packed = subprocess.run(["git", "archive", VERSION_7], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return str(folder)


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Shop:
    return Shop(tmp_path, one_redis_url)


def groups(api: Api) -> list[dict[str, Any]]:
    """Returns all rows of a list, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = api.client.get(f"/admin/order-groups?order=created_at&limit=500&offset={len(found)}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += body["order_groups"]
        if len(found) >= body["count"]:
            return sorted(found, key=lambda row: str(row["id"]))


@contextmanager
def read_all_the_while(api: Api) -> Iterator[list[int]]:
    """Yields the status of each list, one after the other."""
    seen, stop = list[int](), threading.Event()

    def read() -> None:
        while not stop.wait(0.01):
            seen.append(api.client.get("/admin/order-groups?limit=20").status_code)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        reader.join()


def test_by_replay_and_back(shop: Shop, tmp_path: Path, version_7: str) -> None:
    url = shop.place.url
    shop.publish(EVENTS)
    former = {**shop.settings, "PYTHONPATH": version_7}
    with (
        Process("run", cwd=tmp_path, **former) as old,
        Api(tmp_path, url, PYTHONPATH=version_7) as old_api,
        Api(tmp_path, url) as new_api,
    ):
        shop.wait()
        before = groups(old_api)
        assert new_api.client.get("/admin/order-groups").status_code == 503
        assert "--auto-replay" in projector("run", cwd=tmp_path, settings=shop.settings).stderr
        with read_all_the_while(old_api) as seen:
            # Compared with the log, so nothing is to be accepted blindly.
            results = shop.steps("--yes")
        assert results["verify"]["differences"] == 0
        assert results["verify"]["groups"] == len(before) > EVENTS / 5
        assert set(seen) == {200}
        assert len(seen) > 20
        assert shop.states() == {0: "kept", 1: "live"}
        shop.check()
        assert groups(new_api) == groups(old_api) == before
        wait_until(lambda: "standing by" in old.text(), 20, "version 7 stands by")
        with shop.run():
            shop.publish(MORE)
            shop.wait()
            shop.check()
        assert len(groups(new_api)) > len(groups(old_api))
        # Back by the older release.
        assert "release that built it" in shop.replay("rollback", fails=2).stderr
        rolled_back = projector("replay", "rollback", cwd=tmp_path, settings=former)
        assert rolled_back.returncode == 0, rolled_back.stderr
        assert shop.live() == (0, 1)
        shop.publish(MORE)
        shop.wait()
        assert len(groups(old_api)) > len(groups(new_api))
        assert old.process.poll() is None


def test_by_a_deployment(shop: Shop, tmp_path: Path, version_7: str) -> None:
    url = shop.place.url
    shop.publish(EVENTS)
    former = {**shop.settings, "PYTHONPATH": version_7}
    with (
        Process("run", cwd=tmp_path, **former) as old,
        Api(tmp_path, url, PYTHONPATH=version_7) as old_api,
        Api(tmp_path, url) as new_api,
        read_all_the_while(old_api) as seen,
    ):
        shop.wait()
        with shop.run("--auto-replay") as new:
            wait_until(lambda: shop.live() == (1, 1), 60, "version 8 is live")
            assert "differences=0" in new.text()
            shop.publish(MORE)
            shop.wait()
            shop.check()
            assert len(groups(new_api)) > EVENTS / 5
            wait_until(lambda: "standing by" in old.text(), 20, "version 7 stands by")
            assert (new.process.poll(), old.process.poll()) == (None, None)
    assert set(seen) == {200}
