"""Readable by everybody: axe finds nothing in light and dark, the page fits a phone and a wall, small and fast."""

import functools
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.client import node
from tests.conftest import without
from tests.console.screen import Screen
from tests.processes import Api, token

TRANSFER_MAX = 80_000
SIZES = {"phone": (360, 740), "desk": (1280, 800), "wall": (3840, 2160)}


@functools.cache
def axe() -> str:
    if missing := node.missing():
        without(f"there is no {' and no '.join(missing)}")
    try:
        return (node.installed() / "axe-core" / "axe.min.js").read_text()
    except node.NoPackages as error:
        without(f"the packages of tests/client/package.json cannot be had: {error}")
        raise AssertionError("skipped or failed by now") from None


def faults(screen: Screen) -> list[str]:
    """Returns what axe finds: the rule, and where."""
    screen.page.evaluate(axe())
    found: list[dict[str, Any]] = screen.page.evaluate("axe.run(document).then(found => found.violations)")
    assert screen.page.evaluate("axe.run(document).then(found => found.passes.length)") > 15
    return [f"{one['id']}: {node['html'][:120]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, api: Api, scheme: str) -> None:
    with Screen.opened(browser, api.port, color_scheme=scheme) as screen:
        screen.page.goto(f"http://127.0.0.1:{api.port}/console")
        expect(screen.page.get_by_label("Token or API key")).to_be_visible()
        assert faults(screen) == [], "signing in"
        screen.open("#/groups?status=pending&limit=20")
        expect(screen.rows).to_have_count(20)
        for menu in screen.page.locator(".menu summary").all():
            menu.click()
        assert faults(screen) == [], "groups"
        for menu in screen.page.locator(".menu summary").all():
            menu.click()
        screen.rows.first.locator("a").click()
        expect(screen.dialog.locator("tbody tr").first).to_be_visible()
        screen.dialog.locator("summary").click()
        assert faults(screen) == [], "a group"
        screen.page.keyboard.press("Escape")
        screen.button("Explain").click()
        expect(screen.dialog.locator("tbody tr").first).to_be_visible()
        assert faults(screen) == [], "explained"


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen(browser: Browser, api: Api, size: str) -> None:
    """Only tables scroll sideways, and everything can be reached."""
    width, height = SIZES[size]
    with Screen.opened(browser, api.port, viewport={"width": width, "height": height}) as screen:
        screen.open("#/groups?limit=20&status=pending")
        expect(screen.rows).to_have_count(20)
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= width
        screen.rows.first.locator("a").click()
        expect(screen.dialog.locator("tbody tr").first).to_be_visible()
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= width
        screen.page.keyboard.press("Escape")
        for name in ("Explain", "Next"):
            expect(screen.button(name)).to_be_visible()


def test_a_first_visit_transfers_little(browser: Browser, api: Api) -> None:
    with Screen.opened(browser, api.port) as screen:
        screen.page.goto(f"http://127.0.0.1:{api.port}/console#token={token()}")
        expect(screen.rows).to_have_count(50)
        transferred = screen.page.evaluate(
            "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
            ".filter(one => one.name.includes('/console')).map(one => [one.name, one.transferSize])"
        )
        assert len(transferred) > 20
        assert len({name for name, _ in transferred}) == len(transferred), "loaded twice"
        assert min(size for _, size in transferred) > 0
        assert sum(size for _, size in transferred) <= TRANSFER_MAX


@pytest.mark.parametrize("is_signed_in", [False, True])
def test_a_link_in_a_tab_that_has_the_console_leaves_no_token_in_the_address(
    browser: Browser, api: Api, is_signed_in: bool
) -> None:
    with Screen.opened(browser, api.port) as screen:
        console = f"http://127.0.0.1:{api.port}/console"
        screen.page.goto(console)
        expect(screen.page.get_by_label("Token or API key")).to_be_visible()
        for _ in range(1 + is_signed_in):
            screen.page.goto(f"{console}#token={token()}")
            expect(screen.rows).to_have_count(50)
        assert screen.page.evaluate("location.href") == f"{console}#/groups"
        expect(screen.page).to_have_url(f"{console}#/groups")
