"""`make screenshots`: pictures of the console over the demo's marketplace, which grows meanwhile."""

import base64
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.test_up import Up
from tests.servers.process import wait_until

ROOT = Path(__file__).parents[2]
ALL = ROOT / "build" / "screenshots"
IN_README = ROOT / "docs" / "images"
START_S = 30.0
# Of a picture in the README, in bytes.
README_BYTES_MAX = 120_000
DESK, PHONE = {"width": 1200, "height": 760}, {"width": 390, "height": 760}
# Name of the file, scheme, size of the window, address.
PICTURES = (
    (
        "groups-light",
        "light",
        DESK,
        "#/groups?columns=display_id,id,total,currency_code,statuses,created_at",
    ),
    (
        "groups-dark",
        "dark",
        DESK,
        "#/groups?status=pending&order=-total&columns=display_id,id,total,created_at",
    ),
    ("groups-phone", "light", PHONE, "#/groups?columns=display_id,total,statuses,created_at"),
)
FOR_README = ("groups-light", "groups-dark")


def take(browser: Browser, link: str) -> None:
    for name, scheme, size, hash in PICTURES:
        context = browser.new_context(color_scheme=scheme, viewport=size, device_scale_factor=1)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(link)
        expect(page.locator("tbody tr").first).to_be_visible()
        page.goto(link.partition("#")[0] + hash)
        page.mouse.move(0, 0)
        _settle(page)
        _save(page, name)
        page.locator(".list tbody tr a").first.click()
        expect(page.get_by_role("dialog").locator("tbody tr").first).to_be_visible()
        _save(page, f"{name}-orders")
        context.close()


def _save(page: Page, name: str) -> None:
    """As WebP, a third of a PNG, which Playwright itself does not write."""
    devtools = page.context.new_cdp_session(page)
    taken = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 85})
    (ALL / f"{name}.webp").write_bytes(base64.b64decode(taken["data"]))


def _settle(page: Page) -> None:
    """Waits for all that is read after the rows, and for a change of the demo."""
    expect(page.locator(".histogram rect").first).to_be_visible()
    expect(page.locator(".filters fieldset").first).to_be_attached()
    expect(page.locator(".news")).to_be_visible(timeout=30_000)


def main() -> None:
    ALL.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None:
        sys.exit("expected chromium, found none: apt-get install chromium")
    IN_README.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, Up(Path(folder), "--demo") as up, sync_playwright() as playwright:
        wait_until(lambda: "Ctrl-C" in up.text(), START_S, "projector up")
        link = re.search(r"http\S+/console#token=\S+", up.text())
        assert link, up.text()
        browser = playwright.chromium.launch(executable_path=program)
        take(browser, link[0])
        browser.close()
    for name in FOR_README:
        picture = ALL / f"{name}.webp"
        if picture.stat().st_size > README_BYTES_MAX:
            sys.exit(f"{picture}: expected at most {README_BYTES_MAX} bytes, found {picture.stat().st_size}")
        shutil.copy(picture, IN_README / picture.name)
    print(f"{len(PICTURES) * 2} pictures in {ALL}")


if __name__ == "__main__":
    main()
