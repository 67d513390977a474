"""Signing in and out, and an API that goes away and comes back."""

import hashlib
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from tests.console.screen import Screen
from tests.integration.seed import Group, serve
from tests.processes import Api, Process, token
from tests.servers.process import wait_until

KEY = "sk_test_of_the_console"


def test_the_token_leaves_the_address_at_once(screen: Screen) -> None:
    screen.open()
    expect(screen.rows).to_have_count(50)
    assert "token" not in screen.page.url
    screen.page.go_back()
    assert "token" not in screen.page.url
    assert screen.page.evaluate("localStorage.length") == 0
    assert screen.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("wrong", ["wrong", "", "expired"])
def test_a_wrong_token_leads_to_the_sign_in_page(screen: Screen, wrong: str) -> None:
    given = token(exp=1) if wrong == "expired" else wrong or token("another secret of 32 characters..")
    screen.page.goto(f"http://127.0.0.1:{screen.port}/console#token={given}")
    expect(screen.page.get_by_role("alert")).to_contain_text("does not accept this token or key, or it has expired")
    assert screen.page.evaluate("sessionStorage.length") == 0
    screen.page.get_by_label("Token or API key").fill("with blanks")
    screen.button("Sign in").click()
    expect(screen.page.get_by_role("alert")).to_contain_text("no blanks")
    screen.page.get_by_label("Token or API key").fill(f"Bearer {token()}")
    screen.page.keyboard.press("Enter")
    expect(screen.rows).to_have_count(50)
    screen.button("Sign out").click()
    expect(screen.page.get_by_label("Token or API key")).to_be_focused()
    expect(screen.rows).to_have_count(0)
    screen.page.reload()
    expect(screen.page.get_by_label("Token or API key")).to_be_visible()


def test_a_link_of_a_colleague_opens_after_signing_in(screen: Screen) -> None:
    screen.go("#/groups?columns=id&limit=10")
    screen.page.get_by_label("Token or API key").fill(token())
    screen.button("Sign in").click()
    expect(screen.rows).to_have_count(10)


class Restarted(Process):
    """`projector serve` on a port that another one had."""

    def __init__(self, cwd: Path, port: int, redis_url: str, **settings: str) -> None:
        super().__init__("serve", cwd=cwd, API_PORT=str(port), REDIS_URL=redis_url, **settings)


@pytest.fixture
def settings(one_redis_url: str, groups: list[Group]) -> dict[str, str]:
    with Redis.from_url(one_redis_url) as client:
        serve(client, groups)
    return {"API_KEY_HASHES": hashlib.sha256(KEY.encode()).hexdigest(), "ACCESS_LOG": "off"}


def test_the_api_goes_and_comes_back(
    browser: Browser, one_redis_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    """With an API key. A banner says it, and what one asked for meanwhile comes without a reload."""
    with Api(tmp_path, one_redis_url, **settings) as api, Screen.opened(browser, api.port) as screen:
        screen.open("#/groups?columns=id&limit=10", with_token=KEY)
        expect(screen.rows).to_have_count(10)
        screen.page.evaluate("window.before = true")
        assert api.stop() == 0
        screen.page.get_by_role("navigation", name="Pages").get_by_label("Rows").select_option("20")
        banner = screen.page.get_by_text("The API does not answer. Trying again…")
        expect(banner).to_be_visible()
        expect(screen.rows).to_have_count(10)
        with Restarted(tmp_path, api.port, one_redis_url, **settings):
            expect(screen.rows).to_have_count(20)
            expect(banner).to_have_count(0)
            assert screen.page.evaluate("window.before") is True


def test_redis_is_away(browser: Browser, settings: dict[str, str], tmp_path: Path) -> None:
    """The API answers, but not with lists: its own sentence is shown."""
    with Api(tmp_path, "redis://127.0.0.1:1", **settings) as api, Screen.opened(browser, api.port) as screen:
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{api.port}/health/live").status_code == 200, 10, "the API")
        screen.open(with_token=KEY)
        expect(screen.page.get_by_text("The order groups cannot be read at the moment.")).to_be_visible()
