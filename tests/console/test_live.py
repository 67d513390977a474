"""Changes as they come: from the log through the projector to the page, which moves only when one wants it to."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from events.logs.open import open_log
from events.publisher import entry_of
from tests.console.screen import Screen
from tests.console.test_access import faults
from tests.poison import event
from tests.processes import SECRET, Api, Process, projector, wait_until_applied

HASH = "#/groups?columns=id,total&limit=8"


class Shop:
    """A log, its projector and the API; `publish` returns when the read model has it."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.redis_url = folder, redis_url
        self.log_url = f"sqlite://{folder}/orders.db"
        with open_log(self.log_url, {}) as log:
            log.create()

    @contextmanager
    def running(self) -> Iterator[Api]:
        settings = {"EVENT_LOG_URL": self.log_url, "REDIS_URL": self.redis_url}
        with Process("run", cwd=self.folder, **settings), Api(self.folder, self.redis_url, ACCESS_LOG="off") as api:
            yield api

    def publish(self, *events: dict[str, Any]) -> None:
        lines = "\n".join(map(json.dumps, events)).encode()
        done = projector("publish", "-", cwd=self.folder, stdin=lines, settings={"EVENT_LOG_URL": self.log_url})
        assert done.returncode == 0, done.stderr
        with open_log(self.log_url, {}) as log, Redis.from_url(self.redis_url) as client:
            wait_until_applied(client, {str(partition): end for partition, end in log.end().items()})


def checkout(number: int) -> dict[str, Any]:
    """A group of one order, each newer and dearer than the one before."""
    time = f"2026-06-01T{10 + number // 60:02}:{number % 60:02}:00.000Z"
    return event(number, total=100 * number, created_at=time, updated_at=time)


def dearer(number: int, total: int) -> dict[str, Any]:
    time = "2026-06-02T10:00:00.000Z"
    return event(number, "order.updated", version=2, total=total, created_at=time, updated_at=time)


def names(*numbers: int) -> list[str]:
    return [f"og_{number}" for number in numbers]


@pytest.fixture
def shop(one_redis_url: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path, one_redis_url)


def test_nothing_moves_while_one_reads(browser: Browser, shop: Shop) -> None:
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(*map(checkout, range(1, 11)))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.wait_for_ids(names(10, 9, 8, 7, 6, 5, 4, 3))
        shop.publish(*map(checkout, range(11, 14)))
        expect(screen.button("3 new")).to_be_visible()
        screen.wait_for_ids(names(10, 9, 8, 7, 6, 5, 4, 3))
        screen.button("3 new").click()
        expect(screen.rows.locator("td:has(a) bdi")).to_have_text(names(13, 12, 11, 10, 9, 8, 7, 6))
        expect(screen.page.locator("tr.new td:has(a) bdi")).to_have_text(names(13, 12, 11))
        expect(screen.button("3 new")).to_have_count(0)
        expect(screen.page.locator("tr.changed, tr.moved")).to_have_count(0)


def test_rows_that_moved_or_changed_are_marked(browser: Browser, shop: Shop) -> None:
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(*map(checkout, range(1, 7)))
        screen.open(HASH + "&order=-total")
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.wait_for_ids(names(6, 5, 4, 3, 2, 1))
        shop.publish(dearer(2, 550))
        screen.button("Show changes").click()
        expect(screen.rows.locator("td:has(a) bdi")).to_have_text(names(6, 2, 5, 4, 3, 1))
        expect(screen.page.locator("tr.changed td:has(a) bdi")).to_have_text(names(2))
        assert screen.page.locator("tr.changed .mark").inner_text() == "changed"


def test_a_change_outside_of_the_page_is_none(browser: Browser, shop: Shop) -> None:
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(*map(checkout, range(1, 4)))
        screen.open(HASH + "&id=og_1&id=og_4")
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.wait_for_ids(names(1))
        shop.publish(dearer(2, 999))
        shop.publish(checkout(4))
        screen.button("1 new").click()
        expect(screen.rows).to_have_count(2)


def test_one_may_follow(browser: Browser, shop: Shop) -> None:
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(checkout(1))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.page.get_by_label("Follow").check()
        for number in range(2, 5):
            shop.publish(checkout(number))
            expect(screen.rows.locator("td:has(a) bdi")).to_have_text(names(*range(number, 0, -1)))


def test_what_came_while_the_stream_was_away_is_seen(browser: Browser, shop: Shop) -> None:
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(checkout(1))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.wait_for_ids(names(1))
        assert api.stop() == 0
        expect(screen.page.get_by_text("reconnecting")).to_be_visible()
        shop.publish(checkout(2))
        settings = {"API_PORT": str(api.port), "REDIS_URL": shop.redis_url, "JWT_SECRET": SECRET, "ACCESS_LOG": "off"}
        with Process("serve", cwd=shop.folder, **settings):
            screen.button("1 new").click()
            expect(screen.rows.locator("td:has(a) bdi")).to_have_text(names(2, 1))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_changed(browser: Browser, shop: Shop, scheme: str) -> None:
    with shop.running() as api, Screen.opened(browser, api.port, color_scheme=scheme) as screen:
        shop.publish(*map(checkout, range(1, 11)))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        shop.publish(checkout(11), dearer(10, 9999))
        expect(screen.button("1 new")).to_be_visible()
        assert faults(screen) == []
        screen.button("1 new").click()
        expect(screen.page.locator("tr.new")).to_have_count(1)
        expect(screen.page.locator("tr.changed")).to_have_count(1)
        assert faults(screen) == []


@pytest.mark.thorough
@pytest.mark.timeout(180)
def test_a_server_that_is_silent_counts_as_away(browser: Browser, shop: Shop) -> None:
    """Its connections stay open, but not even heartbeats come."""
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(checkout(1))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        api.process.send_signal(signal.SIGSTOP)
        expect(screen.page.get_by_text("reconnecting")).to_be_visible(timeout=60_000)
        screen.page.get_by_role("columnheader", name="Total").get_by_role("button").click()
        expect(screen.page.get_by_text("The API has not answered yet. Waiting…")).to_be_visible()
        api.process.send_signal(signal.SIGCONT)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        expect(screen.page.get_by_text("The API has not answered yet.")).to_have_count(0)


@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.timeout(400)
def test_memory_stays_flat_while_one_follows(browser: Browser, shop: Shop) -> None:
    """Elements, listeners and bytes after 400 changes are, within a fifth, those after 100."""
    with shop.running() as api, Screen.opened(browser, api.port) as screen:
        shop.publish(*map(checkout, range(1, 11)))
        screen.open(HASH)
        expect(screen.page.get_by_text("live", exact=True)).to_be_visible()
        screen.page.get_by_label("Follow").check()
        devtools = screen.page.context.new_cdp_session(screen.page)
        devtools.send("Performance.enable")

        def held(last: int) -> dict[str, float]:
            expect(screen.rows.locator("td:has(a) bdi").first).to_have_text(f"og_{last}")
            devtools.send("HeapProfiler.collectGarbage")
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            return {one["name"]: one["value"] for one in metrics}

        seen = {}
        with open_log(shop.log_url, {}) as log, Redis.from_url(shop.redis_url) as client:
            for number in range(11, 411):
                log.append([entry_of(json.dumps(checkout(number)).encode())])
                wait_until_applied(client, {str(partition): end for partition, end in log.end().items()})
                if number % 5 == 0:
                    # The page is read at most once a second.
                    expect(screen.rows.locator("td:has(a) bdi").first).to_have_text(f"og_{number}")
                if number in (110, 410):
                    seen[number] = held(number)
        for what in ("JSEventListeners", "Nodes", "JSHeapUsedSize"):
            assert seen[410][what] <= 1.2 * seen[110][what], (what, seen)
