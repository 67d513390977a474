"""Facets, sums and histograms against the naive answer, on a real Redis."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from tests.fields import FACET_FIELDS
from tests.integration.client import BEARER, TRIES_MAX, Api
from tests.integration.naive import Request, answer, histogram
from tests.integration.queries import filters_string, query_string, random_request, shown_as_json, with_counts
from tests.integration.seed import Group, make_groups, serve
from tests.integration.ways import ALWAYS, NEVER, WAYS, force
from tests.thorough import thorough

GROUPS = make_groups(random.Random(20260601), 1000)
QUERIES = 200
HISTOGRAMS = 40
DAY_MS = 86_400_000
BY = ("created_at:day", "created_at:week", "created_at:month")
BY_VALUES = {"ROWS_AT_ONCE": 0, "ROWS_MAX": 0, "SELLERS_WORK": ALWAYS}
# Each way to count the groups of a value, beside how the mask is made.
COUNTS: dict[str, dict[str, int]] = {
    "as it is": {},
    "look-ups": WAYS["look-ups"],
    "sellers by values": BY_VALUES,
    "prepared masks, sellers by values": {**WAYS["prepared masks"], **BY_VALUES},
    "sellers by rows, in calls before": {"ROWS_AT_ONCE": 0, "SELLERS_WORK": NEVER},
}
PATH = "/admin/order-groups"


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("way", ["as it is", *thorough(*(way for way in COUNTS if way != "as it is"))])
def test_random_queries(api: Api, redis: "Redis", way: str, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **COUNTS[way])
    serve(redis, GROUPS, shards)
    rng = random.Random(4)
    told = {"facets": 0, "sums": 0}
    for _ in range(QUERIES):
        request = with_counts(rng, random_request(rng, GROUPS))
        query = query_string(rng, request)
        wanted = shown_as_json(answer(GROUPS, request, shards))
        found = api.list(query)
        assert list(found) == list(wanted)
        assert found == wanted, query
        for name in told:
            told[name] += wanted["count"] > 0 and name in wanted
    assert min(told.values()) > QUERIES / 4


def test_every_histogram(api: Api, redis: "Redis") -> None:
    """Of groups of some years, so that there are more days and weeks than are shown."""
    rng = random.Random(5)
    spread = [_moved(group, rng.choice((0, 0, 1, 40, 400, 900)) * DAY_MS) for group in GROUPS]
    shown, cut, empty = 0, 0, 0
    for shards in (1, 3):
        serve(redis, spread, shards)
        for _ in range(HISTOGRAMS):
            request, unit = random_request(rng, spread), rng.choice(("day", "week", "month"))
            request.sums = rng.random() < 0.4
            query = f"by=created_at:{unit}&{filters_string(rng, request)}{'&sums=total' if request.sums else ''}"
            found = _histogram(api, query)
            wanted = shown_as_json(histogram(spread, request, unit))
            assert found == wanted, query
            shown += len(wanted["histogram"]) > 1
            cut += wanted["earlier"] > 0
            empty += not wanted["histogram"]
    assert min(shown, cut, empty) > HISTOGRAMS / 10


def test_intervals_at_the_ends_of_the_calendar(api: Api, redis: "Redis") -> None:
    """The first and the last day that a time may have; a leap day; Sunday and Monday."""
    days = ("0001-01-01", "0001-01-31", "1969-12-31", "2024-02-29", "2026-06-07", "2026-06-08", "9999-12-31")
    for last in range(1, len(days) + 1):
        some = [_moved(group, 0, day) for group, day in zip(GROUPS, days[:last], strict=False)]
        serve(redis, some)
        for unit in ("day", "week", "month"):
            wanted = histogram(some, Request(sums=True), unit)
            assert _histogram(api, f"by=created_at:{unit}&sums=total") == shown_as_json(wanted), (last, unit)


def test_histograms_of_some_intervals_a_call(api: Api, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, HISTOGRAM_WORK=1)
    rng = random.Random(6)
    spread = [_moved(group, rng.randrange(80) * DAY_MS) for group in GROUPS]
    for shards, extra in ((1, ""), (3, "&sums=total")):
        serve(redis, spread, shards)
        response = api.get(f"{PATH}/histogram?by=created_at:day&status=pending{extra}")
        request = Request(any_of={"status": ["pending"]}, sums=bool(extra))
        assert json.loads(response.content, parse_float=Decimal) == shown_as_json(histogram(spread, request, "day"))
        # Nothing was written meanwhile, so the calls reflect the same.
        again = api.get(f"{PATH}/histogram?by=created_at:day&status=pending{extra}", {**BEARER, "If-None-Match": "x"})
        assert again.headers["ETag"] == response.headers["ETag"]


def test_sums_are_exact(api: Api, redis: "Redis") -> None:
    """Beyond what a double holds, and averages half way between two."""
    few = GROUPS[:6]
    totals = ("999999999999999.999999", "999999999999999.999998", "-0.000001", "0", "0.000001", "0.000002")
    for currency, some in (("eur", (0, 1)), ("usd", (2, 3)), ("gbp", (4, 5))):
        for number in some:
            few[number] = {**few[number], "total": Decimal(totals[number]), **_priced(few[number], currency)}
    serve(redis, few)
    text = api.get(f"{PATH}?limit=0&sums=total").text
    assert text == (
        '{"order_groups":[],"count":6,"offset":0,"limit":0,"sums":{"total":['
        '{"currency_code":"eur","sum":1999999999999999.999997,"count":2,"min":999999999999999.999998,'
        '"max":999999999999999.999999,"avg":999999999999999.999998},'
        '{"currency_code":"gbp","sum":0.000003,"count":2,"min":0.000001,"max":0.000002,"avg":0.000002},'
        '{"currency_code":"usd","sum":-0.000001,"count":2,"min":-0.000001,"max":0,"avg":0}]}}'
    )


def test_groups_of_several_currencies_or_an_unknown_one_come_last(api: Api, redis: "Redis") -> None:
    mixed = [group for group in GROUPS if len(group["orders"]) > 1][:2]
    first, second = ({**group, "currency_code": None} for group in mixed)
    orders = [{**order, "currency_code": code} for order, code in zip(first["orders"], ("eur", "usd"), strict=False)]
    first["orders"] = orders
    second["orders"] = [{**order, "currency_code": "eur" if n else None} for n, order in enumerate(second["orders"])]
    serve(redis, [first, second])
    found = api.list("limit=0&sums=total&facets=currency_code")
    assert [(one["currency_code"], one["count"]) for one in found["sums"]["total"]] == [(None, 2)]
    assert found["facets"]["currency_code"] == [{"value": "eur", "count": 2}, {"value": "usd", "count": 1}]


def test_nothing_is_counted_that_was_not_asked_for(api: Api) -> None:
    plain = ["order_groups", "count", "offset", "limit"]
    assert list(api.list("limit=1")) == plain
    assert list(api.list("limit=1&facets=&sums=&facet_limit=3")) == plain
    assert list(api.list("facets=status&sums=total&limit=1")) == [*plain, "facets", "sums"]
    assert api.list("id=&facets=status,seller_id&sums=total") == {
        "order_groups": [],
        "count": 0,
        "offset": 0,
        "limit": 50,
        "facets": {"status": [], "seller_id": []},
        "sums": {"total": []},
    }


def test_etags_differ_by_what_is_counted(api: Api) -> None:
    response = api.get(f"{PATH}?limit=1&facets=status")
    tag = {**BEARER, "If-None-Match": response.headers["ETag"]}
    assert api.get(f"{PATH}?limit=1&facets=status", tag).status_code == 304
    assert api.get(f"{PATH}?limit=1", tag).status_code == 200
    response = api.get(f"{PATH}/histogram?by=created_at:day")
    tag = {**BEARER, "If-None-Match": response.headers["ETag"]}
    assert api.get(f"{PATH}/histogram?by=created_at:day", tag).status_code == 304
    assert response.headers["X-Projection-Position"] == ""


@pytest.mark.parametrize(
    ("target", "issue"),
    [
        ("?facets=stat", f"Expected: '{', '.join(FACET_FIELDS)}' for field 'facets', but got: 'stat'"),
        ("?facets=status:any", f"Expected: '{', '.join(FACET_FIELDS)}' for field 'facets', but got: 'status:any'"),
        ("?facets=customer_id", f"Expected: '{', '.join(FACET_FIELDS)}' for field 'facets', but got: 'customer_id'"),
        ("?facets=status,status:all", "Expected: 'status' or 'status:all' for field 'facets', but got both"),
        ("?facets[a]=status", "Expected type: 'string, array' for field 'facets', got: '[object Object]'"),
        ("?facet_limit=0", "Value for field 'facet_limit' too small, expected at least: '1'"),
        ("?facet_limit=101", "Value for field 'facet_limit' too big, expected at most: '100'"),
        ("?facet_limit=x", "Expected type: 'number' for field 'facet_limit', got: 'x'"),
        ("?sums=count", "Expected: 'total' for field 'sums', but got: 'count'"),
        ("/histogram", "Field 'by' is required"),
        ("/histogram?by=total", f"Expected: '{', '.join(BY)}' for field 'by', but got: 'total'"),
        ("/histogram?by=created_at:day&by=x", "Expected type: 'string' for field 'by', got: 'created_at:day,x'"),
        ("/histogram?by=created_at:day&limit=1", "Unrecognized fields: 'limit'"),
        ("/histogram?by=created_at:day&status[a]=1", "Expected type: 'string, array' for field 'status', got: "),
    ],
)
def test_bad_values_are_named(api: Api, target: str, issue: str) -> None:
    response = api.get(PATH + target)
    assert response.status_code == 400
    assert response.json()["type"] == "invalid_data"
    assert response.json()["message"].startswith(f"Invalid request: {issue}"), response.text


def test_what_takes_too_long_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"VALUES_MAX": ("facets=status", "status"), "SUM_WORK": ("sums=total", "total")}
    for limit, (query, field) in limits.items():
        with monkeypatch.context() as low:
            force(low, **{limit: 1})
            response = api.get(f"{PATH}?{query}")
            message = f"Invalid request: Too many groups and values to count for field '{field}'"
            assert (response.status_code, response.json()["message"]) == (400, message)
    with monkeypatch.context() as low:
        force(low, ROWS_AT_ONCE=0, ROWS_MAX=0, SELLERS_WORK=1)
        assert api.get(f"{PATH}?facets=seller_id&status=pending").status_code == 400
    counted = api.get(f"{PATH}?facets=seller_id&status=pending")
    assert counted.status_code == 200
    with monkeypatch.context() as low:
        # By values it takes too long, by rows it does not.
        force(low, ROWS_AT_ONCE=0, SELLERS_WORK=1)
        assert api.get(f"{PATH}?facets=seller_id&status=pending").json() == counted.json()


def _histogram(api: Api, query: str) -> Any:
    response = api.get(f"{PATH}/histogram?{query}")
    for _ in range(TRIES_MAX):
        if response.status_code != 503 or "q=" not in query:
            break
        api.run(asyncio.sleep(0.05))
        response = api.get(f"{PATH}/histogram?{query}")
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_float=Decimal)


def _moved(group: Group, ms: int, day: str = "") -> Group:
    """The same, created so much earlier, or on another day."""
    if not day:
        return {**group, "created_at": group["created_at"] - ms}
    since = datetime.fromisoformat(f"{day}T12:00:00+00:00") - datetime(1970, 1, 1, tzinfo=UTC)
    return {**group, "created_at": since // timedelta(milliseconds=1)}


def _priced(group: Group, currency: str) -> Group:
    orders = [{**order, "currency_code": currency} for order in group["orders"]]
    return {"currency_code": currency, "orders": orders}
