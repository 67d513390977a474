"""What a reader sees and does in the console."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.processes import token

# Playwright's own download is not used: the system's browser is what users have.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Milliseconds that anything may take on a busy machine.
PATIENCE_MS = 15_000
# Counted by the page itself: a violation may be reported nowhere else.
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
# Has the browser save through a blob: the dialog of the other way is the system's.
_NO_PICKER = "delete window.showSaveFilePicker;"


def chromium() -> str | None:
    """Returns the path of the system's browser."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Screen:
    """`problems`: what the page threw or logged as an error. `hosts`: those that were asked for something."""

    def __init__(self, context: BrowserContext, port: int) -> None:
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH + _NO_PICKER)
        self.page: Page = context.new_page()
        self.port = port
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._logged)
        self.page.on("request", lambda request: self._asked(request.url))

    @classmethod
    @contextmanager
    def opened(cls, browser: Browser, port: int, **settings: Any) -> Iterator[Self]:
        expect.set_options(timeout=PATIENCE_MS)
        context = browser.new_context(timezone_id="America/New_York", locale="en-GB", **settings)
        screen = cls(context, port)
        try:
            yield screen
            screen.check()
        finally:
            context.close()

    def check(self) -> None:
        assert self.problems == []
        assert self.page.evaluate("window.violations") == []
        assert self.hosts <= {f"127.0.0.1:{self.port}"}

    def open(self, hash: str = "#/groups", with_token: str | None = None) -> Self:
        """Signs in by the link that `projector up` prints, then goes to a place."""
        self.page.goto(f"http://127.0.0.1:{self.port}/console#token={with_token or token()}")
        expect(self.page.get_by_role("navigation", name="Views")).to_be_visible()
        self.go(hash)
        return self

    def go(self, hash: str) -> None:
        self.page.goto(f"http://127.0.0.1:{self.port}/console{hash}")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".list tbody tr")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def column(self, title: str) -> list[str]:
        """Returns the texts of a column, top down."""
        titles = [text.split("\n")[0].strip(" ▼▲↕") for text in self.page.locator(".list thead th").all_inner_texts()]
        cells = self.rows.locator(f"td:nth-child({titles.index(title) + 1})")
        return [text.strip() for text in cells.all_inner_texts()]

    def wait_for_ids(self, ids: list[str]) -> None:
        """Waits until exactly these groups are shown, in this order."""
        expect(self.rows.locator("td:has(a)")).to_have_text(ids)

    @property
    def place(self) -> str:
        return urlsplit(self.page.url).fragment

    def _logged(self, message: ConsoleMessage) -> None:
        # A refused request is logged by the browser itself, whatever the page makes of it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss"):
            self.hosts.add(parts.netloc)
