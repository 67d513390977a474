"""`projector explain` reports the steps of a list: key names, and numbers of groups computed from the seed."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from projector.readmodel.query import lua
from projector.readmodel.query.explain import MEANINGS
from tests.integration.client import running
from tests.integration.seed import go_live, iso, make_groups, serve, write
from tests.processes import projector

# Enough that a common filter is not read member by member.
GROUPS = make_groups(random.Random(5), 4000)

Steps = list[tuple[str, str, int]]


@pytest.fixture
def explain(one_redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    with Redis.from_url(one_redis_url) as client:
        write(client, GROUPS)
        go_live(client)

    def ask(query: str, *options: str) -> Any:
        return projector("explain", query, *options, cwd=tmp_path, settings={"REDIS_URL": one_redis_url})

    return ask


@pytest.fixture
def steps(explain: Callable[..., Any]) -> Callable[[str], tuple[Steps, Any]]:
    def ask(query: str) -> tuple[Steps, Any]:
        done = explain(query, "--json", "--times", "2")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["list_ms"] > 0
        assert [shard["number"] for one in found["rounds"] for shard in one] == [0] * len(found["rounds"])
        steps_taken = [step for one in found["rounds"] for shard in one for step in shard["steps"]]
        return [(step["what"], step["key"].removeprefix("og:{0.0}:"), step["groups"]) for step in steps_taken], found

    return ask


def test_the_steps_of_every_plan(steps: Callable[[str], tuple[Steps, Any]]) -> None:
    pending = sum("pending" in group["statuses"] for group in GROUPS)
    web = sum("sc_web" in group["sales_channel_ids"] for group in GROUPS)

    steps_taken, found = steps("")
    assert steps_taken == [("rank", "by:created_at", 4000)]
    assert (found["plan"], found["count"], found["rows"]) == ("rank", 4000, 50)
    assert steps("seller_id=sel_3")[0][0][:2] == ("rank", "of:seller_id:sel_3")
    assert steps("id=")[0] == []

    customers = sum(group["customer_id"] == "cus_1" for group in GROUPS)
    both_filters = sum(group["customer_id"] == "cus_1" and "pending" in group["statuses"] for group in GROUPS)
    steps_taken, found = steps("customer_id=cus_1&status=pending&order=total")
    assert steps_taken == [
        ("list", "of:customer_id:cus_1", customers),
        ("look-up", "of:status:pending", both_filters),
        ("sort", "row", both_filters),
    ]
    assert found["count"] == both_filters

    both_filters = sum("sc_web" in group["sales_channel_ids"] and "pending" in group["statuses"] for group in GROUPS)
    steps_taken, found = steps("status=pending&sales_channel_id=sc_web")
    assert sorted(steps_taken[:2]) == [
        ("bitmap", "of:sales_channel_id:sc_web", web),
        ("bitmap", "of:status:pending", pending),
    ]
    assert steps_taken[2] == ("and", "bits:all", both_filters)
    assert steps_taken[3][:2] == ("walk", "by:created_at")
    assert 50 <= steps_taken[3][2] <= 800
    assert len(steps_taken) == 4

    for order in ("-total", "total", "updated_at", "-display_id"):
        steps_taken, found = steps(f"sales_channel_id=sc_web&order={order}&offset={web // 3}")
        assert steps_taken[:2] == [("bitmap", "of:sales_channel_id:sc_web", web), ("and", "bits:all", web)]
        assert halved(steps_taken[2:], f"bits:by:{order.removeprefix('-')}")

    # The walk begins where the range does, not at the newest group.
    early = sorted(group["created_at"] for group in GROUPS)[2000]
    either = "sales_channel_id[]=sc_web&sales_channel_id[]=sc_zero"
    steps_taken, found = steps(f"{either}&created_at[$lt]={iso(early)}&order=-created_at")
    assert [what for what, _, _ in steps_taken] == ["bitmap", "slices", "and", "walk"]
    assert steps_taken[1][1:] == ("by:created_at", sum(group["created_at"] < early for group in GROUPS))
    assert steps_taken[3][2] <= 400

    with_text = sum("z" in group["id"].casefold() or "z" in (group["customer_id"] or "").casefold() for group in GROUPS)
    steps_taken, found = steps("q=z")
    assert steps_taken[:2] == [("search", "text", with_text), ("bitmap", "text", with_text)]
    assert (found["plan"], found["count"], len(found["rounds"])) == ("masks", with_text, 1)


def test_the_steps_of_a_walk(steps: Callable[[str], tuple[Steps, Any]], one_redis_url: str) -> None:
    web = sum("sc_web" in group["sales_channel_ids"] for group in GROUPS)
    with running(one_redis_url) as api:
        mark = api.list("sales_channel_id=sc_web&order=-total&limit=70&after=")["next"]
        ranked = api.list("limit=70&after=")["next"]
    steps_taken, found = steps(f"sales_channel_id=sc_web&order=-total&after={mark}")
    assert steps_taken[1:3] == [("and", "bits:all", web), ("after", "bits:by:total", web - 70)]
    assert halved(steps_taken[3:], "bits:by:total")
    assert (found["count"], found["rows"]) == (web, 50)
    assert steps(f"after={ranked}")[0] == [("rank", "by:created_at", 4000)]


def test_masks_that_are_prepared_and_records_that_are_read_later(
    steps: Callable[[str], tuple[Steps, Any]], one_redis_url: str
) -> None:
    totals = sorted({group["total"] for group in GROUPS if group["total"] < 1000})[:200]
    assert len(totals) > 100
    left = sum(group["total"] not in totals for group in GROUPS)
    query = "&".join(f"total[$nin][]={total}" for total in totals)
    steps_taken, found = steps(query + "&limit=0")
    assert steps_taken == [
        ("prepare", "changed", 0),
        ("prepared", "changed", left),
        ("bitmap", "changed", left),
        ("and", "bits:all", left),
    ]
    assert (found["plan"], len(found["rounds"])) == ("prepared", 2)
    # Records of some kilobytes: a thousand of them are more than one answer has.
    with Redis.from_url(one_redis_url) as client:
        serve(client, [{**group, "orders": group["orders"][:1] * 50} for group in GROUPS])
    steps_taken, found = steps("limit=1000&fields=*orders")
    assert [step[:2] for step in steps_taken] == [("rank", "by:created_at"), ("read", "record")]
    assert 0 < steps_taken[1][2] < 1000


def test_what_is_counted_beside_a_page(steps: Callable[[str], tuple[Steps, Any]]) -> None:
    web = [group for group in GROUPS if "sc_web" in group["sales_channel_ids"]]
    statuses = {status for group in web for status in group["statuses"]}
    currencies = {group["currency_code"] for group in web}
    steps_taken, found = steps("sales_channel_id=sc_web&facets=status&sums=total")
    assert steps_taken == [
        ("bitmap", "of:sales_channel_id:sc_web", len(web)),
        ("and", "bits:all", len(web)),
        ("facet", "values:status", len(statuses)),
        ("sum", "bits:by:total", len(currencies)),
    ]
    assert (found["plan"], found["count"]) == ("masks", len(web))


def halved(steps_taken: Steps, slices: str) -> bool:
    """Whether slices and sorts alternate, each with the groups of the page and not many more."""
    sizes = [groups for _, _, groups in steps_taken[::2]]
    expected = [step for groups in sizes for step in (("slices", slices, groups), ("sort", "row", groups))]
    return steps_taken == expected and sum(sizes) >= 50 and max(sizes) < 200


def test_output_for_people(explain: Callable[..., Any]) -> None:
    done = explain("?sales_channel_id=sc_web&q=z&order=-total", "--times", "1")
    assert done.returncode == 0, done.stderr
    for part in (
        "Plan: masks",
        "groups with the text",
        "of:sales_channel_id:sc_web",
        "groups that pass all filters",
        "the median of",
    ):
        assert part in done.stdout, part


def test_every_step_has_a_meaning() -> None:
    scripts = "".join(path.read_text() for path in Path(lua.__path__[0]).rglob("*.lua"))
    of_scripts = {name for names in re.findall(r"tell\(([^,]+),", scripts) for name in re.findall(r"'([^']+)'", names)}
    # What this process says of calls before and after the one that answers.
    assert of_scripts | {"refresh", "prepare", "repair", "sellers", "read"} == MEANINGS.keys()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("stat=pending", "projector: stat=pending: Invalid request: Unrecognized fields: 'stat'\n"),
        ("limit=x", "projector: limit=x: Invalid request: Expected type: 'number' for field 'limit', got: 'x'\n"),
    ],
)
def test_a_bad_query(tmp_path: Path, query: str, error: str) -> None:
    done = projector("explain", query, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)


def test_no_live_generation_and_no_redis(one_redis_url: str, tmp_path: Path) -> None:
    done = projector("explain", "", "--json", cwd=tmp_path, settings={"REDIS_URL": one_redis_url})
    assert (done.returncode, json.loads(done.stdout)["count"]) == (0, 0)
    done = projector("explain", "", cwd=tmp_path)
    assert done.returncode == 2
    assert "start it with `projector up`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_api_explains_as_the_command_does(one_redis_url: str, explain: Callable[..., Any]) -> None:
    with running(one_redis_url) as api:
        for query in ("", "status=pending&order=-total&limit=7", "seller_id=sel_3&status=pending&offset=3", "id="):
            wanted = json.loads(explain(query, "--json", "--times", "1").stdout)
            answer = api.get(f"/admin/order-groups/explain?{query}")
            assert answer.status_code == 200
            found = answer.json()
            assert found.pop("ms") > 0
            steps = [
                {"call": call, "shard": shard["number"], **step, "meaning": MEANINGS[step["what"]]}
                for call, shards in enumerate(wanted["rounds"], 1)
                for shard in shards
                for step in shard["steps"]
            ]
            assert found == {**{name: wanted[name] for name in ("plan", "count", "rows")}, "steps": steps}, query
        few = "seller_id=sel_3&status=pending"
        before_last = api.list(f"{few}&limit={api.list(few)['count'] - 1}&after=")
        found = api.get(f"/admin/order-groups/explain?{few}&after={before_last['next']}").json()
        assert (found["count"], found["rows"]) == (before_last["count"], 1), "a walk's last page has one row"
        refused = api.get("/admin/order-groups/explain?limit=abc")
        assert refused.status_code == 400
        assert refused.json() == api.get("/admin/order-groups?limit=abc").json()
