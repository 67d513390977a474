"""A file that one exports is what the API sends for the same filters and columns."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.console.screen import Screen
from tests.processes import Api, token


def asked(port: int, query: str) -> bytes:
    """Returns the export of the API itself."""
    url = f"http://127.0.0.1:{port}/admin/order-groups/export?{query}"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token()}"})
    assert answer.status_code == 200, answer.text
    return answer.content


def exported(screen: Screen, button: str, path: Path) -> bytes:
    screen.page.locator("summary", has_text="Export").click()
    with screen.page.expect_download() as download:
        screen.page.get_by_role("button", name=button, exact=True).click()
    download.value.save_as(path)
    expect(screen.page.get_by_text("Saved ")).to_be_visible()
    return path.read_bytes()


def test_the_file_is_written_as_it_arrives(browser: Browser, api: Api) -> None:
    """Where the browser lets one choose a file. A file of its own stands in for the system's dialog."""
    choose = """
    window.showSaveFilePicker = async ({ suggestedName }) => {
      window.chosen = await (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
      return window.chosen;
    };
    """
    with Screen.opened(browser, api.port) as screen:
        screen.page.add_init_script(choose)
        screen.open("#/groups?columns=id,total&limit=10")
        expect(screen.rows).to_have_count(10)
        screen.page.locator("summary", has_text="Export").click()
        screen.page.get_by_role("button", name="JSON lines").click()
        expect(screen.page.get_by_text("Saved ")).to_be_visible()
        name, text = screen.page.evaluate(
            "window.chosen.getFile().then(async (file) => [file.name, await file.text()])"
        )
        assert re.fullmatch(r"order-groups-[0-9T-]+\.ndjson", name)
        assert text.encode() == asked(screen.port, "format=ndjson&fields=id,total")


@pytest.mark.parametrize(
    ("button", "query"),
    [
        ("CSV", "format=csv&rows=groups&fields=id,total,seller_ids"),
        ("CSV, a row per order", "format=csv&rows=orders&fields=id,total,seller_ids,*orders,orders.seller.name"),
        ("JSON lines", "format=ndjson&rows=groups&fields=id,total,seller_ids"),
    ],
)
def test_the_file_is_the_export_of_the_api(screen: Screen, tmp_path: Path, button: str, query: str) -> None:
    screen.open("#/groups?columns=id,total,seller_ids&status=pending&total[$gte]=1&limit=10")
    expect(screen.rows).to_have_count(10)
    found = exported(screen, button, tmp_path / "export")
    assert found == asked(screen.port, f"status=pending&total[$gte]=1&{query}")
    assert found.count(b"\n") > 20
