"""`projector list` and `projector get` print what the API answers."""

import csv
import json
import random
import signal
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.client import running
from tests.integration.lines import make_live
from tests.integration.seed import make_groups, serve
from tests.processes import Process, projector
from tests.servers.process import wait_until

GROUPS = make_groups(random.Random(8), 60)
QUERIES = (
    "",
    "?status=completed&order=-total&limit=3",
    "q=og_&fields=*orders&limit=2",
    "limit=4&after=&order=total",
    "limit=4&after=&facets=status,seller_id&facet_limit=2&sums=total",
)
CHANGED_S = 10.0


@pytest.fixture
def redis(one_redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(one_redis_url) as client:
        serve(client, GROUPS, shards=3)
        yield client


@pytest.mark.parametrize("query", QUERIES)
def test_a_list_is_that_of_the_api(redis: "Redis", one_redis_url: str, tmp_path: Path, query: str) -> None:
    settings = {"REDIS_URL": one_redis_url}
    with running(one_redis_url) as api:
        body = api.listed(query.removeprefix("?")).text
    done = projector("list", query, "--format", "json", cwd=tmp_path, settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == body + "\n"
    groups = json.loads(body)["order_groups"]
    done = projector("list", query, "--format", "csv", cwd=tmp_path, settings=settings)
    found = list(csv.DictReader(StringIO(done.stdout, newline="")))
    assert [row["id"] for row in found] == [group["id"] for group in groups]
    assert list(found[0]) == list(groups[0])
    done = projector("list", query, cwd=tmp_path, settings=settings)
    assert [done.stdout.find(group["id"]) >= 0 for group in groups] == [True] * len(groups)
    assert f"{json.loads(body)['count']} groups, {len(groups)} rows" in done.stdout
    assert ("next: after=" in done.stdout) == ("after=" in query)
    for field, counted in json.loads(body).get("facets", {}).items():
        values = ", ".join(f"{one['value']} {one['count']}" for one in counted)
        assert f"\n{field}: {values}\n" in done.stdout
    for one in json.loads(body, parse_float=Decimal, parse_int=Decimal).get("sums", {}).get("total", ()):
        assert f": {one['sum']} of {one['count']} groups, {one['min']} to {one['max']}, on" in done.stdout


@pytest.mark.parametrize("fields", [None, "id,orders.seller.name"])
def test_one_group_is_that_of_the_api(redis: "Redis", one_redis_url: str, tmp_path: Path, fields: str | None) -> None:
    options = ("--fields", fields) if fields else ()
    done = projector("get", "og_ß", *options, cwd=tmp_path, settings={"REDIS_URL": one_redis_url})
    with running(one_redis_url) as api:
        body = api.get("/admin/order-groups/og_%C3%9F" + (f"?fields={fields}" if fields else "")).json()
    assert json.loads(done.stdout) == body["order_group"]


@pytest.mark.parametrize("command", [("list", "--format", "json"), ("explain", "--times", "1")])
def test_a_list_that_is_refused_is_no_traceback(
    redis: "Redis", one_redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    name, *options = command

    def refused(query: str) -> str:
        done = projector(name, query, *options, cwd=tmp_path, settings={"REDIS_URL": one_redis_url})
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
        return done.stderr

    with running(one_redis_url) as api:
        mark = api.list("limit=4&after=")["next"]
    redis.zadd("og:{0.0}:values:status", {f"status {n}": 1 for n in range(1001)})
    assert "counting status takes too long" in refused("facets=status")
    make_live(redis, 0, 3)
    assert "a mark of the active generation" in refused(f"after={mark}")


def test_a_watched_list_is_printed_again_when_it_changes(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    arguments = ("list", "limit=0&status=completed", "--format", "json", "--watch")
    with Process(*arguments, cwd=tmp_path, REDIS_URL=one_redis_url) as watching:
        counts = [
            json.dumps({"order_groups": [], "count": n, "offset": 0, "limit": 0}, separators=(",", ":")) for n in (0, 1)
        ]

        def lines() -> list[str]:
            return watching.text().splitlines()

        wait_until(lambda: len(lines()) == 1, CHANGED_S, "the list")
        completed = next(group for group in GROUPS if group["statuses"] == ["completed"])
        pending = next(group for group in GROUPS if group["statuses"] == ["pending"])
        serve(redis, [completed], shards=3)
        redis.hset("og:{0.0}:position", "orders/0", 1)
        wait_until(lambda: lines()[-1] == counts[1], CHANGED_S, "the list with one group")
        serve(redis, [pending], shards=3)
        redis.hset("og:{0.0}:position", "orders/0", 2)
        wait_until(lambda: lines()[-1] == counts[0], CHANGED_S, "the list without a group")
        assert watching.stop(signal.SIGINT) == 0
        assert "Traceback" not in watching.text()


def test_a_cell_does_not_control_the_terminal(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    serve(redis, [{**GROUPS[0], "customer_id": "[red]\x1b[2J"}])
    done = projector("list", cwd=tmp_path, settings={"REDIS_URL": one_redis_url})
    assert "[red]\N{REPLACEMENT CHARACTER}[2J" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "foo=1"), "foo=1: Invalid request: Unrecognized fields: 'foo'"),
        (("list", "", "--format", "xml"), "Invalid value for '--format'"),
        (("get", "og_nothing"), "OrderGroup id not found: og_nothing"),
        (("get",), "Missing argument 'ID'"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    redis: "Redis", one_redis_url: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = projector(*arguments, cwd=tmp_path, settings={"REDIS_URL": one_redis_url})
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
