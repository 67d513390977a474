"""What events bring is shown, never run: every text of the corpus appears literally, wherever it is shown."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect
from redis import Redis

from tests.console.screen import Screen
from tests.integration.seed import Group, serve
from tests.processes import Api
from tests.thorough import thorough

SCRIPTS = (
    "<img src=x onerror=window.owned=1>",
    "<script>window.owned=1</script>",
    '"><svg onload=window.owned=1>',
    "' onmouseover='window.owned=1",
    "javascript:window.owned=1",
    "<!--value-0-->",
    "</td></tr></table><h1>owned</h1>",
    "${window.owned=1}",
    "{{window.owned=1}}",
    "&lt;b&gt;&amp;",
    "__proto__",
    "<template><slot></slot></template>",
)
SHAPES = (
    "אבג\u202eabc",
    "\u2067x\u2066",
    "a\u0000b",
    "\u0007\u001b[31m",
    "a\r\nb",
    "\u2028\u2029",
    "e\u0301",
    "😀" * 40,
)
LONG = "x" * 4096
CORPUS = (*SCRIPTS, *SHAPES, LONG)
# What has no shape is shown as a symbol.
SYMBOLS = {**{chr(code): chr(0x2400 + code) for code in range(32)}, "\u2028": "\\u2028", "\u2029": "\\u2029"}


def shown(text: str) -> str:
    return "".join(SYMBOLS.get(character, character) for character in text)


def _with(group: Group, text: str) -> Group:
    order: dict[str, Any] = {
        **group["orders"][0],
        **dict.fromkeys(("id", "customer_id", "seller_id", "sales_channel_id", "status", "payment_status"), text),
        **dict.fromkeys(("fulfillment_status", "custom_display_id", "email"), text),
        "seller": {"id": text, "name": text},
        "customer": {"id": text, "first_name": text, "last_name": text},
    }
    lists = ("seller_ids", "statuses", "sales_channel_ids", "payment_statuses", "fulfillment_statuses")
    return {
        **group,
        **dict.fromkeys(("id", "customer_id", "cart_id"), text),
        **{name: [text] for name in lists},
        **{"seller_count": 1, "order_count": 1, "orders": [order], "total": order["total"]},
    }


@pytest.fixture(scope="module")
def api(module_redis_url: str, groups: list[Group], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serves a group for each text, which has it in every field that may have any text."""
    with Redis.from_url(module_redis_url) as client:
        serve(client, [_with(groups[0], text) for text in CORPUS])
    with Api(tmp_path_factory.mktemp("api"), module_redis_url, ACCESS_LOG="off") as api:
        yield api


COLUMNS = "id,customer_id,statuses,seller_ids,payment_statuses,fulfillment_statuses,sales_channel_ids,cart_id"


def test_every_text_is_shown_literally(screen: Screen) -> None:
    screen.open(f"#/groups?columns={COLUMNS}&limit=1000")
    expect(screen.rows).to_have_count(len(CORPUS))
    # Not the rows of the view before.
    expect(screen.rows.first.locator("bdi")).to_have_count(8)
    cells = screen.rows.evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('bdi')].map(one => one.textContent))"
    )
    assert {tuple(row) for row in cells} == {(shown(text),) * 8 for text in CORPUS}
    assert screen.page.evaluate("window.owned") is None
    assert screen.page.locator("h1").count() == 1


@pytest.mark.parametrize("texts", [CORPUS[::3], *thorough(list(CORPUS))], ids=len)
def test_a_group_of_each_text_opens(screen: Screen, texts: Sequence[str]) -> None:
    """It is in the title, in the orders, and as a filter in the address."""
    screen.open("#/groups?columns=id&limit=1000")
    for text in texts:
        opened(screen, text)
        screen.go("#/groups?columns=id&limit=1000")
    assert screen.page.evaluate("window.owned") is None


def opened(screen: Screen, text: str) -> None:
    row = screen.rows.filter(has=screen.page.locator("bdi").get_by_text(shown(text), exact=True))
    row.first.locator("a").click()
    cells = screen.dialog.locator("tbody bdi")
    expect(cells.first).to_be_visible()
    texts = cells.evaluate_all("all => all.map(one => one.textContent)")
    assert texts.count(shown(text)) >= 6, text
    heading = screen.dialog.get_by_role("heading", name="Group").locator("bdi")
    assert heading.evaluate("one => one.textContent") == shown(text)
    screen.page.keyboard.press("Escape")
    form = screen.page.get_by_role("region", name="Filter").locator("form")
    if not {"\r", "\n"} & set(text):  # Which a line of input cannot have.
        form.get_by_label("Field").select_option("status")
        form.get_by_label("Value").fill(text)
        form.get_by_role("button").click()
        expect(screen.rows).to_have_count(1)
        chip = screen.page.get_by_role("list", name="Filters").locator("bdi")
        assert chip.evaluate("one => one.textContent") == shown(text)
