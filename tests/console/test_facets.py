"""Counts, sums and bars beside the list equal those counted by hand; the bars filter by pointer and keyboard."""

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from playwright.sync_api import expect

from tests.console.screen import Screen
from tests.integration.naive import Request, answer
from tests.integration.seed import Group, value_sets

TITLES = {"status": "Status", "payment_status": "Payment", "currency_code": "Currency", "seller_id": "Seller"}


def counts(groups: list[Group], field: str) -> dict[str, int]:
    return Counter(value for group in groups for value in set(value_sets(group)[field]) if value is not None)


def shown_counts(screen: Screen, title: str) -> dict[str, int]:
    rows = screen.page.get_by_role("group", name=title).locator("label")
    pairs = rows.evaluate_all("all => all.map(one => [...one.querySelectorAll('span')].map(span => span.textContent))")
    return {value: int(count.replace(",", "")) for value, count in pairs}


def test_facets_count_what_a_tick_would_give(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id&limit=1000")
    expect(screen.page.get_by_role("group", name="Status")).to_be_visible()
    for field, title in TITLES.items():
        assert shown_counts(screen, title) == counts(groups, field), field
    screen.page.get_by_role("group", name="Status").get_by_label("pending").check()
    pending = [group for group in groups if "pending" in group["statuses"]]
    expect(screen.rows).to_have_count(len(pending))
    eur = counts(pending, "currency_code")["eur"]
    expect(screen.page.get_by_role("group", name="Currency").locator("label", has_text="eur")).to_contain_text(str(eur))
    assert shown_counts(screen, "Status") == counts(groups, "status"), "one may add another one"
    assert shown_counts(screen, "Payment") == counts(pending, "payment_status")
    screen.page.get_by_role("group", name="Status").get_by_label("canceled").check()
    either = [group for group in groups if {"pending", "canceled"} & set(group["statuses"])]
    expect(screen.rows).to_have_count(len(either))
    assert screen.place.count("status=") == 2


def test_sums_per_currency_have_every_digit(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id&limit=10")
    sums: dict[str | None, Decimal] = defaultdict(Decimal)
    for group in groups:
        sums[group["currency_code"]] += group["total"]
    shown = screen.page.locator(".summary span[title]")
    expect(shown).to_have_count(len(sums))
    found = {}
    for text in shown.all_inner_texts():
        currency, _, total = text.strip().rpartition(" ")
        found[None if currency.startswith("mixed") else currency.strip().lower()] = Decimal(total)
    assert found == dict(sums)


def test_a_wrong_address_is_told_as_such_and_forgotten_with_it(screen: Screen) -> None:
    page, refused = screen.page, "Invalid request: Unrecognized fields: 'colour'"
    screen.open("#/groups?columns=id&colour=red")
    expect(page.get_by_role("alert")).to_contain_text(refused)
    expect(page.get_by_text(f"no live updates: {refused}")).to_be_visible()
    expect(page.get_by_text(f"Values are not counted: {refused}")).to_be_visible()
    refused = "Invalid request: Expected type: 'number' for field 'limit', got: 'abc'"
    screen.go("#/groups?columns=id&limit=abc")
    expect(page.get_by_role("alert")).to_contain_text(refused)
    expect(page.get_by_text(f"no live updates: {refused}")).to_be_visible()
    # They do not depend on the page.
    expect(page.get_by_role("group", name="Status")).to_be_visible()
    page.get_by_role("link", name="Show all groups").click()
    expect(screen.rows).to_have_count(50)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.get_by_role("group", name="Status")).to_be_visible()
    expect(page.locator(".histogram rect").first).to_be_visible()
    screen.go("#/groups?columns=id&by=hour")
    expect(page.get_by_text("No bars: Invalid request: ")).to_be_visible()


def test_a_seller_has_a_name_once_an_order_told_it(screen: Screen, groups: list[Group]) -> None:
    group, seller = next(
        (group, order["seller"]) for group in groups for order in group["orders"] if order["seller"]["name"]
    )
    screen.open(f"#/groups?columns=id&id={group['id']}")
    label = screen.page.get_by_role("group", name="Seller").locator("label")
    label = label.filter(has=screen.page.get_by_text(seller["id"], exact=True))
    expect(label.locator("small")).to_have_count(0)
    screen.rows.first.click()
    expect(screen.dialog.locator("tbody tr")).to_have_count(len(group["orders"]))
    screen.dialog.get_by_role("button", name="Close").click()
    expect(label.locator("small")).to_have_text(seller["name"])


def days(groups: list[Group]) -> dict[datetime, int]:
    times = [datetime.fromtimestamp(group["created_at"] / 1000, UTC) for group in groups]
    return dict(sorted(Counter(time.replace(hour=0, minute=0, second=0, microsecond=0) for time in times).items()))


def test_bars_are_days_and_a_drag_over_them_filters(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id&limit=1000")
    bars = screen.page.locator(".histogram rect")
    wanted = days(groups)
    expect(bars).to_have_count(len(wanted))
    titles = [text.split(": ")[1] for text in bars.locator("title").all_text_contents()]
    assert titles == [f"{count} group{'s' if count != 1 else ''}" for count in wanted.values()]
    first, last = bars.nth(0).bounding_box(), bars.nth(1).bounding_box()
    assert first
    assert last
    screen.page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] - 1)
    screen.page.mouse.down()
    screen.page.mouse.move(last["x"] + last["width"] / 2, last["y"] + last["height"] - 1, steps=5)
    screen.page.mouse.up()
    expect(screen.rows).to_have_count(sum([*wanted.values()][:2]))
    begin = next(iter(wanted))
    assert f"{begin:%Y-%m-%d}T00" in screen.place
    assert f"{begin + timedelta(days=2):%Y-%m-%d}T00" in screen.place


def test_the_keyboard_selects_bars(screen: Screen, groups: list[Group]) -> None:
    screen.open("#/groups?columns=id&limit=1000")
    chart = screen.page.get_by_role("slider")
    chart.focus()
    wanted = [*days(groups).values()]
    screen.page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuetext", _ending(f": {wanted[-1]} groups"))
    screen.page.keyboard.press("Shift+ArrowLeft")
    expect(chart).to_have_attribute("aria-valuetext", _ending(f": {sum(wanted[-2:])} groups"))
    screen.page.keyboard.press("Enter")
    expect(screen.rows).to_have_count(sum(wanted[-2:]))
    newest = answer(groups, Request(1000))["order_groups"]
    screen.wait_for_ids([group["id"] for group in newest[: sum(wanted[-2:])]])


def _ending(text: str) -> "re.Pattern[str]":
    return re.compile(re.escape(text) + "$")
