"""The plan that a list took, the same in the access log, in the metrics and in `projector explain`."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from api.params.query import parse_list
from projector.readmodel.query.explained import explained
from tests.integration.raw import LIST
from tests.integration.seed import go_live, iso, make_groups, write
from tests.integration.test_observed import dict_of, lines, samples
from tests.processes import Api

# Enough that a common filter is not read member by member.
GROUPS = make_groups(random.Random(5), 4000)
LATE = iso(sorted(group["created_at"] for group in GROUPS)[1000])
PLANS = {
    "": "rank",
    "status=pending": "rank",
    "created_at[$gte]=2026-06-01&offset=100": "rank",
    "id=": "nothing",
    "customer_id=cus_1&status=pending&order=total": "look-up",
    "id=og_1&id=og_2": "look-up",
    "sales_channel_id=sc_web&order=-total": "masks",
    f"created_at[$gte]={LATE}&order=updated_at": "masks",
    "status=pending&sales_channel_id=sc_web": "masks",
    "order=total": "masks",
    # More amounts than one call compares.
    f"total[$nin][]={','.join(str(n) for n in range(2, 500, 4))}": "prepared",
    "q=z": "masks",
    "customer_id=cus_1&q=z": "look-up",
}

# Characters of a target that are compared: enough to tell these apart.
SHOWN = 150


@pytest.fixture
def api(one_redis_url: str, tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, one_redis_url, LOG_FORMAT="json") as api:
        yield api


def test_every_list_reports_the_plan_that_it_took(api: Api, one_redis_url: str) -> None:
    with Redis.from_url(one_redis_url) as client:
        write(client, GROUPS)
        go_live(client)
    api.wait_until_ready()
    for query in PLANS:
        assert api.client.get(f"{LIST}?{query}").status_code == 200
    # A long target is cut in the log.
    logged = {line["target"][:SHOWN]: line["plan"] for line in lines(api, len(PLANS))}
    assert logged == {(f"{LIST}?{query}" if query else LIST)[:SHOWN]: plan for query, plan in PLANS.items()}
    counted = dict_of(samples(api.client.get("/metrics").text, "order_groups_api_requests_total"), "route", "plan")
    counts = {plan: sum(found == plan for found in PLANS.values()) for plan in PLANS.values()}
    assert {plan: number for (route, plan), number in counted.items() if route == LIST} == counts
    for query, plan in PLANS.items():
        assert (query, asyncio.run(explained(one_redis_url, parse_list(query), 1, 900)).plan) == (query, plan)


def test_a_list_over_several_shards_reports_one_plan(api: Api, one_redis_url: str) -> None:
    with Redis.from_url(one_redis_url) as client:
        write(client, GROUPS, shards=3)
        go_live(client, shards=3)
    api.wait_until_ready()
    queries = {"sales_channel_id=sc_web&order=-total&offset=900": "masks", "customer_id=cus_1&q=z": "look-up"}
    for query in queries:
        assert api.client.get(f"{LIST}?{query}").status_code == 200
    assert [line["plan"] for line in lines(api, len(queries))] == [*queries.values()]


def test_a_list_that_was_not_answered_has_no_plan(api: Api, one_redis_url: str) -> None:
    assert api.client.get(LIST).json()["count"] == 0, "no generation is live"
    with Redis.from_url(one_redis_url) as client:
        write(client, GROUPS[:10])
        go_live(client)
        tag = api.client.get(LIST).headers["ETag"]
        client.delete("og:{0.0}:bits:all")
        client.hset("og:{0.0}:bits:all", "of", "another type")
    assert api.client.get(LIST, headers={"If-None-Match": tag}).status_code == 304
    assert api.client.get(LIST + "?order=total").status_code == 500
    assert api.client.get(LIST + "?limit=x").status_code == 400
    assert [line["plan"] for line in lines(api, 5)] == ["nothing", "rank", "-", "-", "-"]
