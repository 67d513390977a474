"""The list of groups in a real browser: what it shows equals the naive answer."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from playwright.sync_api import Locator, Route, expect

from tests.console.screen import Screen
from tests.integration.naive import Request, answer
from tests.integration.seed import Group, iso, texts

# The ids alone, in the first column; and the columns that other checks read.
IDS = "columns=id"


def ids(groups: list[Group], request: Request) -> list[str]:
    return [group["id"] for group in answer(groups, request)["order_groups"]]


def test_first_rows_are_the_newest_with_their_values(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id,total,statuses,created_at&limit=100")
    newest = answer(groups, Request(limit=100, names=("id", "total", "statuses", "created_at")))["order_groups"]
    screen.wait_for_ids([group["id"] for group in newest])
    assert [Decimal(text) for text in screen.column("Total")] == [group["total"] for group in newest]
    assert screen.column("Status") == [", ".join(group["statuses"]) for group in newest]
    times = screen.rows.locator("time")
    shown = times.evaluate_all("all => all.map(one => [one.dateTime, one.title])")
    wanted = [iso(group["created_at"]) for group in newest]
    assert shown == [[text, text.replace("T", " ").replace("Z", " UTC")] for text in wanted]
    # In the zone of the reader: four hours behind UTC in June.
    hour = datetime.fromtimestamp(newest[0]["created_at"] / 1000, UTC).hour
    assert re.search(rf"\b{(hour - 4) % 24:02}:\d\d", screen.column("Created")[0])
    assert screen.page.get_by_text("300 groups").count() == 1


def test_every_digit_of_a_total_is_shown(screen: Screen, groups: list[Group]) -> None:
    """More than a double has, and no exponent."""
    screen.open("#/groups?columns=id,total&order=-total&limit=1000")
    totals = [group["total"] for group in answer(groups, Request(1000, 0, "total"))["order_groups"]]
    expect(screen.rows).to_have_count(len(groups))
    assert screen.column("Total") == [f"{total:f}" for total in totals]
    assert any(str(Decimal(float(total))) != f"{total:f}" and total > 10**14 for total in totals)
    assert Decimal("0.000001") in totals


def test_a_click_on_a_header_sorts_in_both_directions(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id,total,seller_count,created_at,updated_at,display_id&limit=20")
    for title, field in (
        ("Total", "total"),
        ("Sellers", "seller_count"),
        ("Updated", "updated_at"),
        ("Number", "display_id"),
    ):
        header = screen.page.get_by_role("columnheader", name=title)
        for descending in (True, False):
            header.get_by_role("button").click()
            expect(header).to_have_attribute("aria-sort", "descending" if descending else "ascending")
            wanted = ids(groups, Request(20, 0, field, descending))
            expect(screen.rows.locator("td:nth-child(2)")).to_have_text(wanted)
            assert f"order={'-' if descending else ''}{field}" in screen.place


def test_the_keyboard_sorts_and_opens(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id,total&limit=10")
    screen.page.get_by_role("columnheader", name="Total").get_by_role("button").focus()
    screen.page.keyboard.press("Enter")
    wanted = ids(groups, Request(10, 0, "total"))
    screen.wait_for_ids(wanted)
    screen.page.keyboard.press("Tab")
    screen.page.keyboard.press("Enter")
    expect(screen.dialog.get_by_role("heading", name="Group")).to_contain_text(wanted[0])
    screen.page.keyboard.press("Escape")
    expect(screen.page).not_to_have_url(re.compile("group="))
    expect(screen.dialog).to_have_count(0)


def test_search_finds_while_one_types_and_stays_in_the_address(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&limit=1000")
    expect(screen.rows).to_have_count(len(groups))
    screen.page.get_by_role("searchbox").press_sequentially("STRASSE", delay=10)
    wanted = ids(groups, Request(1000, q="STRASSE"))
    assert 0 < len(wanted) < len(groups)
    screen.wait_for_ids(wanted)
    # The list may be right before all letters are typed, if the first ones find the same groups.
    expect(screen.page).to_have_url(re.compile("q=STRASSE"))
    screen.button("Remove filter Search").click()
    expect(screen.rows).to_have_count(len(groups))
    assert screen.page.get_by_role("searchbox").input_value() == ""
    assert all(any("strasse" in text.casefold() for text in texts(g)) for g in groups if g["id"] in wanted)


def test_the_last_word_counts_on_a_slow_network(screen: Screen, groups: list[Group]) -> None:
    """Answers to earlier letters come later than one types, and are not shown."""
    screen.open(f"#/groups?{IDS}&limit=1000")
    expect(screen.rows).to_have_count(len(groups))
    devtools = screen.page.context.new_cdp_session(screen.page)
    slow = {"offline": False, "latency": 600, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
    devtools.send("Network.emulateNetworkConditions", slow)
    box = screen.page.get_by_role("searchbox")
    for typed in ("a", "ad", "ada", "ada@"):
        box.fill(typed)
        expect(screen.page).to_have_url(re.compile(f"q={typed.replace('@', '%40')}$"))
    wanted = ids(groups, Request(1000, q="ada@"))
    screen.wait_for_ids(wanted)
    assert box.input_value() == "ada@"
    assert 0 < len(wanted) < len(groups)


def test_filters_are_added_shown_and_removed(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&limit=1000")
    form = screen.page.get_by_role("region", name="Filter").locator("form")
    form.get_by_label("Field").select_option("seller_id")
    form.get_by_label("Value").fill("sel_3")
    form.get_by_role("button").click()
    of_seller = ids(groups, Request(1000, any_of={"seller_id": ["sel_3"]}))
    screen.wait_for_ids(of_seller)
    form.get_by_label("Value").fill("sel_4")
    form.get_by_role("button").click()
    screen.wait_for_ids(ids(groups, Request(1000, any_of={"seller_id": ["sel_3", "sel_4"]})))
    form.get_by_label("Field").select_option("total")
    form.get_by_label("Condition").select_option("$gt")
    form.get_by_label("Value").fill("0.1")
    form.get_by_role("button").click()
    both = Request(1000, any_of={"seller_id": ["sel_3", "sel_4"]}, ranges={"total": {"$gt": Decimal("0.1")}})
    screen.wait_for_ids(ids(groups, both))
    chips = screen.page.get_by_role("list", name="Filters").get_by_role("button")
    assert [text.split("\n")[-1].strip() for text in chips.all_inner_texts()] == [
        *("Seller: sel_3 ✕", "Seller: sel_4 ✕", "Total: above 0.1 ✕", "Remove all")
    ]
    chips.nth(1).click()
    screen.wait_for_ids(ids(groups, Request(1000, any_of={"seller_id": ["sel_3"]}, ranges=both.ranges)))
    screen.button("Remove all").click()
    expect(screen.rows).to_have_count(len(groups))


def test_a_time_is_entered_in_the_zone_of_the_reader(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&limit=1000")
    form = screen.page.get_by_role("region", name="Filter").locator("form")
    form.get_by_label("Field").select_option("created_at")
    form.get_by_label("Value").fill("2026-06-02T08:00")
    form.get_by_role("button").click()
    noon_ms = int(datetime(2026, 6, 2, 12, tzinfo=UTC).timestamp() * 1000)
    wanted = ids(groups, Request(1000, ranges={"created_at": {"$gte": noon_ms}}))
    assert 0 < len(wanted) < len(groups)
    screen.wait_for_ids(wanted)


def test_pages_next_previous_jump_and_size(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&limit=20&order=total")
    pages = screen.page.get_by_role("navigation", name="Pages")

    def shows(offset: int, limit: int = 20) -> None:
        screen.wait_for_ids(ids(groups, Request(limit, offset, "total", descending=False)))

    shows(0)
    expect(pages.get_by_role("button", name="Previous")).to_be_disabled()
    pages.get_by_role("button", name="Next").click()
    shows(20)
    pages.get_by_label("Page", exact=True).fill("15")
    pages.get_by_label("Page", exact=True).press("Enter")
    shows(280)
    expect(pages.get_by_role("button", name="Next")).to_be_disabled()
    pages.get_by_role("button", name="Previous").click()
    shows(260)
    pages.get_by_label("Rows").select_option("50")
    shows(0, 50)
    screen.page.go_back()
    shows(260)


def test_what_one_types_stays_while_the_page_fills(screen: Screen, groups: list[Group]) -> None:
    held: list[Route] = []
    screen.page.route("**/histogram?*", lambda route: held.append(route))
    screen.open(f"#/groups?{IDS}&limit=20")
    page = screen.page.get_by_role("navigation", name="Pages").get_by_label("Page", exact=True)
    expect(screen.rows).to_have_count(20)
    page.fill("15")
    held[-1].continue_()
    expect(screen.page.locator(".histogram rect").first).to_be_visible()
    expect(page).to_have_value("15")
    page.fill("99")
    page.press("Enter")
    screen.wait_for_ids(ids(groups, Request(20, 280)))
    expect(page).to_have_value("15")


def test_the_address_is_the_state(screen: Screen, groups: list[Group]) -> None:
    """Another tab with the same address shows the same; no token is in it."""
    query = f"{IDS}&status=pending&total[$gte]=0&order=-total&limit=10&offset=10"
    screen.open(f"#/groups?{query}")
    wanted = ids(groups, Request(10, 10, "total", any_of={"status": ["pending"]}, ranges={"total": {"$gte": 0}}))
    screen.wait_for_ids(wanted)
    assert "token" not in screen.page.url
    assert screen.page.evaluate("history.length") <= 4
    screen.page.reload()
    screen.wait_for_ids(wanted)
    link = screen.rows.locator("a").nth(3).get_attribute("href")
    assert link is not None
    screen.go(link)
    expect(screen.dialog.get_by_role("heading", name="Group")).to_contain_text(wanted[3])
    screen.wait_for_ids(wanted)


def test_columns_are_chosen(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?limit=10")
    expect(screen.rows).to_have_count(10)
    assert screen.page.locator("th").filter(has_text="Cart").count() == 0
    screen.page.locator("summary", has_text="Columns").click()
    for name in ("Cart", "Seller ids"):
        screen.page.get_by_role("checkbox", name=name).check()
    screen.page.get_by_role("checkbox", name="Customer").uncheck()
    expect(screen.page.locator(".list th").filter(has_text="Customer")).to_have_count(0)
    expect(screen.page.locator(".list th").filter(has_text="Cart")).to_have_count(1)
    newest = answer(groups, Request(10, names=("seller_ids", "id")))["order_groups"]
    expect(screen.rows.first).to_contain_text(newest[0]["seller_ids"][0])
    assert screen.column("Seller ids") == [", ".join(group["seller_ids"]) for group in newest]


def test_a_row_opens_its_orders_and_its_json(screen: Screen, groups: list[Group]) -> None:
    group = max(groups, key=lambda one: (len(one["orders"]), one["total"]))
    screen.open(f"#/groups?{IDS}&id={group['id']}")
    expect(screen.rows).to_have_count(1)
    screen.rows.first.click()
    orders = screen.dialog.locator("tbody tr")
    wanted = sorted(group["orders"], key=lambda order: (order["created_at"], order["id"]))
    expect(orders).to_have_count(len(wanted))
    for row, order in zip(orders.all(), wanted, strict=True):
        text = row.inner_text()
        shown = (order["id"], order["status"], order["seller"]["name"] or order["seller_id"], f"{order['total']:f}")
        assert [one for one in (*shown, order["payment_status"]) if one and one not in text] == []
    screen.dialog.locator("summary").click()
    raw = screen.dialog.locator("pre").inner_text()
    for order in wanted:
        assert f'"total": {order["total"]:f},' in raw
    screen.dialog.get_by_role("button", name="Close").click()
    expect(screen.dialog).to_have_count(0)


def test_amounts_end_at_one_line_and_their_digits_are_as_wide(screen: Screen, groups: list[Group]) -> None:
    def check(cells: Locator) -> None:
        styles = cells.evaluate_all(
            "all => all.map(one => [getComputedStyle(one).textAlign, getComputedStyle(one).fontVariantNumeric])"
        )
        assert {tuple(style) for style in styles} == {("end", "tabular-nums")}
        ends = cells.evaluate_all(
            """all => all.map((one) => {
              const range = document.createRange();
              range.selectNodeContents(one);
              return Math.max(...[...range.getClientRects()].filter(({ width }) => width).map(({ right }) => right));
            })"""
        )
        assert max(ends) - min(ends) < 1

    group = max(groups, key=lambda one: len(one["orders"]))
    screen.open("#/groups?columns=id,total&limit=1000")
    expect(screen.rows).to_have_count(len(groups))
    check(screen.rows.locator("td:nth-child(2)"))
    screen.go(f"#/groups?columns=id,total&group={group['id']}")
    expect(screen.dialog.locator("tbody tr")).to_have_count(len(group["orders"]))
    check(screen.dialog.locator("tbody td:nth-child(5)"))


def test_how_a_list_was_answered(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&status=pending&order=-total")
    pending = sum("pending" in group["statuses"] for group in groups)
    expect(screen.rows.first).to_be_visible()
    screen.button("Explain").click()
    expect(screen.dialog).to_contain_text(f"{pending} groups match")
    expect(screen.dialog.locator("tbody")).to_contain_text("of:status:pending")


def test_what_one_can_do_when_nothing_matches_or_a_link_is_wrong(screen: Screen, groups: list[Group]) -> None:
    screen.open(f"#/groups?{IDS}&status=nothing")
    expect(screen.page.get_by_text("No groups match.")).to_be_visible()
    screen.page.get_by_role("link", name="Remove all filters").click()
    expect(screen.rows).to_have_count(50)
    screen.go(f"#/groups?{IDS}&colour=red")
    expect(screen.page.get_by_role("alert")).to_contain_text("Unrecognized fields: 'colour'")
    screen.page.get_by_role("link", name="Show all groups").click()
    expect(screen.rows).to_have_count(50)
    screen.go(f"#/groups?{IDS}&offset=5000")
    expect(screen.page.get_by_text("This page is behind the end of the list.")).to_be_visible()
