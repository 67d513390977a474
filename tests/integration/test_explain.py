"""`projector explain` reports the steps of a list: key names, and numbers of groups computed from the seed."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from projector.cli.show_explain import MEANINGS
from projector.readmodel.query.explain import Step
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
        ("probe", "of:status:pending", both_filters),
        ("sort", "by:total", both_filters),
    ]
    assert found["count"] == both_filters

    # This status has no bitmap, and more members than one call looks up.
    steps_taken, found = steps("status=pending&sales_channel_id=sc_web&limit=0")
    assert steps_taken[:3] == [
        ("some at a time", "ordinal", 0),
        ("gathered", "of:status:pending", pending),
        ("bitmap", "bits:of:sales_channel_id:sc_web", web),
    ]
    assert len(found["rounds"]) == 2

    steps_taken, found = steps("sales_channel_id=sc_web&order=-total")
    assert steps_taken[0][:2] == ("walk", "by:total")
    assert 50 <= steps_taken[0][2] <= 4000
    assert steps_taken[1:] == [("count", "of:sales_channel_id:sc_web", web)]

    steps_taken, found = steps(f"sales_channel_id=sc_web&order=-total&offset={web - 50}")
    assert steps_taken[:2] == [("bitmap", "bits:of:sales_channel_id:sc_web", web), ("and", "bits:all", web)]
    assert halved(steps_taken[2:], "bits:by:total", "by:total")

    # Most groups have one seller or two, so the order of ids decides.
    for order in ("seller_count", "-seller_count", "id"):
        steps_taken, found = steps(f"sales_channel_id=sc_web&order={order}&offset={web // 2}")
        assert [what for what, _, _ in steps_taken[:2]] == ["bitmap", "and"]
        assert halved(steps_taken[2:], "bits:by:id", f"by:{order.removeprefix('-')}")

    # The walk begins where the range does, not at the first group.
    middle = sorted(group["total"] for group in GROUPS)[2000]
    steps_taken, found = steps(f"sales_channel_id=sc_web&total[$lt]={middle}&order=-total")
    assert steps_taken[-1][:2] == ("walk", "by:total")
    assert steps_taken[-1][2] < 1000

    # The groups created last were updated last, at the other end of the list: a walk is tried and given up.
    late = sorted(group["created_at"] for group in GROUPS)[1000]
    steps_taken, found = steps(f"sales_channel_id=sc_web&created_at[$gte]={iso(late)}&order=updated_at")
    assert [what for what, _, _ in steps_taken[:4]] == ["slices", "bitmap", "and", "walk"]
    assert steps_taken[3][2] <= 600
    assert halved(steps_taken[4:], "bits:by:updated_at", "by:updated_at")

    # With a single filter the walk comes before the mask, and is not tried again after it.
    steps_taken, found = steps(f"created_at[$gte]={iso(late)}&order=updated_at")
    assert [what for what, _, _ in steps_taken[:3]] == ["walk", "slices", "and"]
    assert steps_taken[0][2] <= 600
    assert halved(steps_taken[3:], "bits:by:updated_at", "by:updated_at")

    steps_taken, found = steps("limit=200&order=id")
    assert steps_taken == [("rank", "by:id", 4000), ("read", "row", 200)]
    steps_taken, found = steps(f"sales_channel_id=sc_web&order=-total&limit=1000&offset={web // 4}")
    assert [what for what, _, _ in steps_taken[-2:]] == ["place", "read"]
    assert 1000 <= steps_taken[-2][2] < 2000
    assert (steps_taken[-1][2], len(found["rounds"])) == (1000, 3)

    with_text = sum("z" in group["id"].casefold() or "z" in (group["customer_id"] or "").casefold() for group in GROUPS)
    steps_taken, found = steps("q=z")
    assert steps_taken[0] == ("slice by slice", "text", 0)
    assert steps_taken[1:3] == [("search", "text", with_text), ("and", "bits:all", with_text)]
    assert (len(found["rounds"]), found["count"]) == (2, with_text)


def test_ids_of_one_millisecond_are_told_apart_by_their_slices(
    steps: Callable[[str], tuple[Steps, Any]], one_redis_url: str
) -> None:
    rng = random.Random(6)

    def ulid(time: str) -> str:
        return f"og_{time}{''.join(rng.choices('0123456789ABCDEFGHJKMNPQRSTVWXYZ', k=16))}"

    groups = [{**group, "id": ulid("01K993TSZF" if n else "01JST8SPBZ")} for n, group in enumerate(GROUPS)]
    with Redis.from_url(one_redis_url) as client:
        serve(client, groups)
    steps_taken, _ = steps("sales_channel_id=sc_web&order=id&offset=1000")
    assert [what for what, _, _ in steps_taken[:2]] == ["bitmap", "and"]
    assert halved(steps_taken[2:], "bits:by:id", "by:id")


def halved(steps_taken: Steps, slices: str, sorted_by: str) -> bool:
    """Whether slices and sorts alternate, each with the groups of the page and not many more."""
    sizes = [groups for _, _, groups in steps_taken[::2]]
    expected = [step for groups in sizes for step in (("slices", slices, groups), ("sort", sorted_by, groups))]
    return steps_taken == expected and sum(sizes) >= 50 and max(sizes) < 200


def test_output_for_people(explain: Callable[..., Any]) -> None:
    done = explain("?sales_channel_id=sc_web&q=z&order=-total", "--times", "1")
    assert done.returncode == 0, done.stderr
    for part in (
        "Plan: prepared",
        "slice by slice",
        "bits:of:sales_channel_id:sc_web",
        "groups that pass all filters",
        "the median of",
    ):
        assert part in done.stdout, part


def test_every_step_has_a_meaning(explain: Callable[..., Any]) -> None:
    done = explain("sales_channel_id=sc_web&order=-total&limit=1000&offset=100", "--times", "1")
    assert done.returncode == 0, done.stderr
    for what in ("place", "read"):
        assert MEANINGS[what] in done.stdout, what
    # Each step is described in a line of its own, before its meaning.
    _, _, *lines = (Step.__doc__ or "").splitlines()
    described = [line.strip().split("  ")[0] for line in lines]
    assert set(re.findall(r"`([^`]+)`", " ".join(described))) == MEANINGS.keys()


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
