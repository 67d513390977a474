"""A real browser, and the API with a marketplace behind it."""

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from redis import Redis

from tests.conftest import without
from tests.console.screen import Screen, chromium
from tests.integration.seed import Group, go_live, make_groups, write
from tests.processes import Api


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: Playwright runs an event loop, beside which other tests cannot run theirs."""
    program = chromium()
    if program is None:
        without("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return make_groups(random.Random(5), 300)


@pytest.fixture(scope="module")
def api(
    browser: Browser, module_redis_url: str, groups: list[Group], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """Serves `groups`, which nobody changes."""
    with Redis.from_url(module_redis_url) as client:
        write(client, groups)
        go_live(client)
    with Api(tmp_path_factory.mktemp("api"), module_redis_url, ACCESS_LOG="off") as api:
        api.wait_until_ready()
        yield api


@pytest.fixture
def screen(browser: Browser, api: Api) -> Iterator[Screen]:
    """A tab of its own, signed out. In the end: nothing was thrown, refused by the policy, or asked of others."""
    with Screen.opened(browser, api.port) as screen:
        yield screen
