"""The views of operators, over a projector that works: pipeline, parked events, replays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from events.logs.log import Entry
from events.sources.watch import Backlog, Watch
from projector.health.source import reporting_source
from projector.readmodel.schema.actions import EXECUTOR
from projector.readmodel.schema.generations import Holder
from projector.readmodel.schema.source import KEPT_MS, SOURCE
from tests.console.screen import Screen
from tests.console.test_access import SIZES, faults
from tests.integration.operating import KEY, WHO, OperatorApi
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import token
from tests.servers.process import wait_until

EVENTS = 500
BROKEN = json.dumps(event(9, total="much")).encode()
HOSTILE = b"<img src=x onerror=alert(1)>\xe2\x80\xae\x00"
VIEWS = ("pipeline", "parked", "replay")


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Iterator[Shop]:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(EVENTS)
    with shop.run():
        shop.wait()
        yield shop


@pytest.fixture
def api(tmp_path: Path, one_redis_url: str, shop: Shop) -> Iterator[OperatorApi]:
    with OperatorApi(tmp_path, one_redis_url) as api:
        api.wait_until_ready()
        yield api


@pytest.fixture
def console(browser: Browser, api: OperatorApi) -> Iterator[Screen]:
    with Screen.opened(browser, api.port) as screen:
        yield screen


def park(shop: Shop, api: OperatorApi, *values: bytes) -> None:
    before = api.parked(limit=0)["count"]
    shop.append([Entry(b"key", value, (("trace", b"\xff"), ("note", b"<b>"))) for value in values])
    wait_until(lambda: api.parked(limit=0)["count"] == before + len(values), 30, "the parked events")


def confirm(screen: Screen, typed: str | None = None) -> None:
    if typed is not None:
        expect(screen.button("Do it")).to_be_disabled()
        screen.page.get_by_label("Type").fill(typed)
    screen.button("Do it").click()


def test_the_pipeline_is_live_and_adds_up(console: Screen, shop: Shop, api: OperatorApi) -> None:
    console.open("#/pipeline", KEY)
    partitions = console.page.get_by_role("region", name="Partitions of the log").locator("tbody td")
    expect(partitions.nth(0)).to_have_text(str(EVENTS))
    expect(partitions.nth(1)).to_have_text(str(EVENTS))
    expect(partitions.nth(2)).to_have_text("0")
    park(shop, api, BROKEN)
    expect(partitions.nth(0)).to_have_text(str(EVENTS + 1))
    expect(console.page.get_by_role("img", name="Lag of orders/0")).to_be_visible()
    expect(partitions.nth(6)).to_have_text("now")
    numbers = console.page.get_by_role("region", name="What became of the events").locator("tbody td")
    expect(numbers.nth(4)).to_have_text("1")
    received, *fates = (int(text.replace(",", "")) for text in numbers.all_inner_texts()[:6])
    assert received == sum(fates) == EVENTS + 1
    shop.append([Entry(b"k", json.dumps({**event(1), "type": "<i>cart.created"}).encode())])
    expect(numbers.nth(3)).to_have_text("1")
    expect(console.page.locator(".types")).to_have_text("<i>cart.created")
    generation = console.page.get_by_role("region", name="Generations").locator("tbody tr")
    expect(generation).to_have_count(1)
    expect(generation).to_contain_text("live")
    expect(generation).to_contain_text("KiB")


def test_what_waits_in_a_shops_database(console: Screen, one_redis_url: str) -> None:
    console.open("#/pipeline", KEY)
    expect(console.page.get_by_role("region", name="Generations").locator("tbody tr")).to_have_count(1)
    facts = console.page.locator(".source dd")
    expect(facts).to_have_count(0)
    watch = Watch()
    watch.works, watch.backlog = True, Backlog(3, 1200, 75.0)
    with reporting_source(one_redis_url, "<i>mercur2", watch):
        expect(facts).to_have_text(["<i>mercur2", "3, and 1,200 of bulk work", "1 min 15 s"])
        expect(console.page.get_by_text("The shop's database: 3 notes wait, the oldest for 75 s")).to_be_visible()
        watch.backlog = Backlog()
        expect(facts).to_have_text(["<i>mercur2", "0", "none"])
        watch.wait("log", "no broker answers")
        expect(console.page.get_by_text("waiting for log: no broker answers")).to_be_visible()
        watch.resume()
    with Redis.from_url(one_redis_url) as client:
        client.pexpire(SOURCE, KEPT_MS - 90_000)
    expect(console.page.get_by_text("No relay has told for 1 min")).to_be_visible()
    expect(facts.nth(3)).to_contain_text("1 min")


def test_redrive_and_discard(console: Screen, shop: Shop, api: OperatorApi) -> None:
    park(shop, api, BROKEN, HOSTILE, BROKEN)
    console.open("#/parked", KEY)
    rows = console.page.locator(".parked tbody tr")
    expect(rows).to_have_count(3)
    rows.nth(1).locator("summary").click()
    # Shown as it is, and nothing of it is run.
    expect(rows.nth(1).locator("pre")).to_have_text("<img src=x onerror=alert(1)>\u202e\u2400")
    expect(rows.nth(1)).to_contain_text("/w== (base64)")
    expect(rows.nth(1)).to_contain_text("<b>")
    assert console.page.locator("img[src=x]").count() == 0
    console.page.get_by_label(f"Choose orders/0@{EVENTS}", exact=True).check()
    console.button("Redrive chosen").click()
    expect(console.page.get_by_role("status").nth(1)).to_contain_text("applies 0 of 1 parked events")
    confirm(console)
    expect(console.page.locator(".action")).to_contain_text("0 applied, 0 stale, 0 passed over, 1 still parked")
    expect(rows.nth(0).locator("td").nth(3)).to_have_text("2")
    expect(rows.nth(1).locator("td").nth(3)).to_have_text("1")
    console.button("Discard all").click()
    expect(console.page.locator(".action")).to_contain_text("discards 3 parked events")
    console.page.get_by_label("Type").fill("discar")
    confirm(console, "discard")
    expect(console.page.get_by_text("Nothing is parked.")).to_be_visible()
    (partition,) = api.pipeline()["partitions"]
    assert (partition["parked"], partition["discarded"]) == (0, 3)


def test_parked_events_come_and_go_by_themselves(console: Screen, shop: Shop, api: OperatorApi) -> None:
    park(shop, api, BROKEN, HOSTILE)
    console.open("#/parked", KEY)
    rows = console.page.locator(".parked tbody tr")
    expect(rows).to_have_count(2)
    second = rows.filter(has_text=f"orders/0@{EVENTS + 1}")
    second.get_by_role("checkbox").check()
    second.locator("summary").click()
    park(shop, api, BROKEN)
    expect(rows).to_have_count(3)
    api.do("discard", {"positions": [f"orders/0@{EVENTS}"]})
    expect(rows).to_have_count(2)
    expect(rows.first.get_by_role("checkbox")).to_be_checked()
    expect(rows.first.locator("pre")).to_be_visible()
    expect(rows.first.locator("summary")).to_be_focused()
    expect(rows.last.get_by_role("checkbox")).not_to_be_checked()
    park(shop, api, *[BROKEN] * 22)
    expect(console.page.get_by_text("24 events could not be applied")).to_be_visible()
    expect(rows).to_have_count(20)
    console.button("Show more").click()
    expect(rows).to_have_count(24)
    api.do("discard", {"all": True})
    expect(console.page.get_by_text("Nothing is parked.")).to_be_visible()


def test_an_action_that_waits_says_so(console: Screen, shop: Shop, api: OperatorApi, one_redis_url: str) -> None:
    park(shop, api, BROKEN)
    console.open("#/parked", KEY)
    expect(console.page.locator(".parked tbody tr")).to_have_count(1)
    with Redis.from_url(one_redis_url) as client:
        # As if a projector were busy with another action.
        client.set(EXECUTOR, msgspec.json.encode(Holder("another", "token", "elsewhere", 1)))
        console.button("Discard all").click()
        expect(console.page.get_by_text("It waits: no projector has begun it yet.")).to_be_visible()
        client.delete(EXECUTOR)
    expect(console.page.locator(".action")).to_contain_text("discards 1 parked events")


def test_what_changed_since_is_not_acted_on(console: Screen, shop: Shop, api: OperatorApi) -> None:
    park(shop, api, BROKEN)
    console.open("#/parked", KEY)
    console.button("Discard all").click()
    expect(console.page.locator(".action")).to_contain_text("discards 1 parked events")
    park(shop, api, BROKEN)
    confirm(console, "discard")
    expect(console.page.locator(".action")).to_contain_text("refused: expected count 1, found 2")
    expect(console.page.locator(".parked tbody tr")).to_have_count(2)


@pytest.mark.thorough
def test_a_replay_and_back(console: Screen, shop: Shop, api: OperatorApi) -> None:
    console.open("#/replay", KEY)
    action = console.page.locator(".action")
    generations = console.page.get_by_role("region", name="Generations").locator("tbody tr")
    console.button("Plan a replay").click()
    expect(action).to_contain_text(f"builds generation 1 of 1 shard from {EVENTS} events")
    confirm(console)
    expect(action).to_contain_text("done: generation 1 is built and compared")
    expect(generations.nth(1)).to_contain_text("verified")
    expect(console.page.get_by_text("Generation 1, compared with the live one")).to_be_visible()
    console.button("Switch to").click()
    expect(action).to_contain_text("generation 1 of")
    confirm(console)
    expect(action).to_contain_text("done: generation 1 is active; 0 is kept")
    expect(generations.nth(0)).to_contain_text("kept")
    assert shop.live() == (1, 1)
    shop.publish(10)
    shop.wait()
    expect(generations.nth(1)).to_contain_text("live")
    console.button("Roll back to").click()
    expect(action).to_contain_text("becomes active; generation 1 of")
    confirm(console)
    expect(action).to_contain_text("done: generation 0 is active; 1 is kept")
    assert shop.live() == (0, 1)
    shop.wait()
    shop.check()
    expect(generations.nth(1)).to_contain_text("kept")
    console.button("Drop").click()
    expect(action).to_contain_text("deletes generation 1")
    confirm(console, "drop")
    expect(action).to_contain_text("done: generation 1 is deleted")
    expect(generations).to_have_count(1)
    log = console.page.get_by_role("region", name="Actions").locator("tbody tr")
    expect(log).to_have_count(4)
    expect(log.first).to_have_text(re.compile(f"{WHO}.*drop.*done", re.DOTALL))


@pytest.mark.thorough
def test_a_refused_replay_says_why(console: Screen, shop: Shop, api: OperatorApi) -> None:
    console.open("#/replay", KEY)
    shop.replay("build", "--yes")
    console.page.get_by_label("Shards").fill("3")
    console.button("Plan a replay").click()
    expect(console.page.locator(".action")).to_contain_text("would be refused: generation 1 was begun with --shards 1")
    confirm(console)
    expect(console.page.locator(".action")).to_contain_text("refused: generation 1 was begun")
    assert shop.states() == {0: "live", 1: "building"}


@pytest.mark.parametrize("view", VIEWS)
def test_others_are_told_why_it_is_closed(console: Screen, view: str) -> None:
    console.open(f"#/{view}", token())
    expect(console.page.get_by_text("This view is for operators.")).to_be_visible()
    expect(console.page.get_by_text("OPERATOR_KEY_HASHES")).to_be_visible()
    assert console.page.locator("main table").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_views_of_operators(browser: Browser, api: OperatorApi, shop: Shop, scheme: str) -> None:
    park(shop, api, BROKEN)
    width, height = SIZES["phone"]
    with Screen.opened(browser, api.port, color_scheme=scheme) as screen:
        for view in VIEWS:
            screen.open(f"#/{view}", KEY)
            expect(screen.page.locator("main table").first).to_be_visible()
            if view == "parked":
                screen.page.locator("summary").click()
                screen.button("Discard all").click()
                expect(screen.button("Do it")).to_be_visible()
            if view == "replay":
                screen.button("Plan a replay").click()
                expect(screen.button("Do it")).to_be_visible()
            assert faults(screen) == [], view
            screen.page.set_viewport_size({"width": width, "height": height})
            assert screen.page.evaluate("document.documentElement.scrollWidth") <= width, view
            screen.page.set_viewport_size({"width": 1280, "height": 800})
