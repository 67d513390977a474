"""Walks and exports of random lists while a writer goes on, beside independent code.

The events say what is right, as in test_differential.py. Between the first answer and the last one, each group has been
in some states: a group that was in the list, at the same place, in all of them, comes exactly once.
"""

import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import oracle
from tests.integration.exported import filters, read_csv, read_ndjson, rows_of, same_cells
from tests.integration.naive import Request, matches, shown
from tests.integration.queries import random_request, shown_as_json
from tests.integration.seed import Group, go_live
from tests.integration.test_differential import (
    PARTITION,
    SAMPLE,
    SEED,
    Event,
    Events,
    Writer,
    append,
    asked,
    created_events,
    seeded,
    ties_in,
)
from tests.processes import Api, Process, wait_until_applied

QUERIES = 60
PATH = "/admin/order-groups"
State = Group | None


class History:
    """The states of groups while a list was read: at its position, and after each event since."""

    def __init__(self, events: Events, first: int, last: int) -> None:
        self.at_first = {group["id"]: group for group in events.at(first)}
        self._since: dict[str, list[State]] = {}
        before: dict[str, list[Event]] = {}
        changed = {one["data"]["order_group_id"] for one in events.events[first:last]}
        for one in events.events[:first]:
            if (group_id := one["data"]["order_group_id"]) in changed:
                before.setdefault(group_id, []).append(one)
        for one in events.events[first:last]:
            group_id = one["data"]["order_group_id"]
            before.setdefault(group_id, []).append(one)
            found = oracle.groups(before[group_id]).get(group_id)
            self._since.setdefault(group_id, []).append(seeded(found) if found else None)

    @property
    def ids(self) -> set[str]:
        return self.at_first.keys() | self._since.keys()

    def states(self, group_id: str) -> list[State]:
        return [self.at_first.get(group_id), *self._since.get(group_id, ())]


def position(headers: Any) -> int:
    partition, _, offset = headers["X-Projection-Position"].partition("@")
    assert partition == PARTITION
    return int(offset)


def walk(api: Api, query: str) -> tuple[list[Any], list[tuple[int, int]]]:
    """The rows, and of each page its position and count."""
    found, pages, after = [], [], ""
    while after is not None:
        response = asked(api, f"{PATH}?{query}&after={after}")
        page = json.loads(response.content, parse_float=Decimal)
        found += page["order_groups"]
        pages.append((position(response.headers), page["count"]))
        after = page["next"]
    return found, pages


def check_walk(found: list[Any], request: Request, history: History, query: str) -> int:
    """Returns how many groups had to be there, and were."""
    times = Counter(row["id"] for row in found)
    assert times.keys() <= history.ids, query
    stayed = 0
    for group_id in history.ids:
        states = history.states(group_id)
        passing = [state is not None and matches(state, request) for state in states]
        places = {state and state[request.sort] for state in states}
        if all(passing) and len(places) == 1:
            assert times[group_id] == 1, (query, group_id)
            stayed += 1
        elif not any(passing):
            assert times[group_id] == 0, (query, group_id)
    possible = [shown_as_json(shown(state, request)) for row in found for state in history.states(row["id"]) if state]
    assert all(row in possible for row in found[:50]), query
    return stayed


def walk_all(api: Api, rng: random.Random, events: Events, shards: int) -> list[int]:
    counts = []
    for _ in range(QUERIES):
        request = random_request(rng, SAMPLE)
        query = f"limit={rng.choice((100, 400))}&order={'-' * request.descending}{request.sort}&{filters(rng, request)}"
        found, pages = walk(api, query)
        history = History(events, pages[0][0], len(events.events))
        if shards == 1:
            assert pages[0][1] == sum(matches(group, request) for group in history.at_first.values()), query
        counts.append(check_walk(found, request, history, query))
    return counts


def export_all(api: Api, rng: random.Random, events: Events, client: Any, shards: int) -> list[int]:
    counts = []
    for _ in range(QUERIES):
        request = random_request(rng, SAMPLE)
        query = filters(rng, request)
        per_order = "orders" in request.names and rng.random() < 0.5
        form = rng.choice(("csv", "ndjson"))
        response = asked(api, f"{PATH}/export?{query}&format={form}" + ("&rows=orders" if per_order else ""))
        history = History(events, position(response.headers), len(events.events))
        counts.append(check_export(response, request, history, ties_in(client, shards), shards, per_order))
    return counts


def check_export(
    response: Any, request: Request, history: History, ties: dict[str, tuple[int, int]], shards: int, per_order: bool
) -> int:
    """Returns how many groups were in it."""
    is_csv = response.headers["Content-Type"].startswith("text/csv")
    content = read_csv(response.content) if is_csv else read_ndjson(response.content)[0]
    ids = list(dict.fromkeys(row["id"].removeprefix("'") if is_csv else row["id"] for row in content))
    assert ids == sorted(ids, key=ties.__getitem__), "in order of arrival"
    wanted = {group["id"] for group in history.at_first.values() if matches(group, request)}
    # A group is shown as it is when it is read, whether it matches by then or not: it may have vanished, or have no
    # orders of the sellers that were asked for.
    possible = {group_id: rows_in(history.states(group_id), request, per_order) for group_id in wanted | set(ids)}
    if shards == 1:
        assert int(response.headers["X-Export-Count"]) == len(wanted)
        assert set(ids) <= wanted
        assert all([] in possible[group_id] for group_id in wanted - set(ids))
    else:
        same = {group_id for group_id in history.ids if len(history.states(group_id)) == 1}
        assert set(ids) & same == {group_id for group_id in wanted & same if [] not in possible[group_id]}
    by_id: dict[str, list[Any]] = {}
    for row in content:
        by_id.setdefault(row["id"].removeprefix("'") if is_csv else row["id"], []).append(row)
    for group_id, found in by_id.items():
        assert any(same_rows(found, one, is_csv) for one in possible[group_id]), (group_id, found)
    return len(ids)


def rows_in(states: list[State], request: Request, per_order: bool) -> list[list[dict[str, Any]]]:
    return [rows_of(state, request, per_order=per_order) if state else [] for state in states]


def same_rows(found: list[Any], wanted: list[dict[str, Any]], is_csv: bool) -> bool:
    if not is_csv:
        return found == wanted
    return len(found) == len(wanted) and all(
        same_cells(one, row, exactly=True) for one, row in zip(found, wanted, strict=True)
    )


@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shards", [1, 3, 16])
def test_each_group_that_stays_is_walked_once_and_exported_as_it_was(
    one_redis_url: str, tmp_path: Path, shards: int
) -> None:
    rng = random.Random(SEED)
    events = Events()
    events.events = created_events(rng)
    url = f"sqlite://{tmp_path}/orders.db"
    end = append(url, events.events)
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with redis.Redis.from_url(one_redis_url) as client:
        go_live(client, shards=shards)
        with Process("run", cwd=tmp_path, **settings), Api(tmp_path, one_redis_url, ACCESS_LOG="off") as api:
            wait_until_applied(client, {PARTITION: end})
            api.wait_until_ready()
            writer = Writer(url, events, rng)
            writer.start()
            try:
                walks = walk_all(api, random.Random(21), events, shards)
                exports = export_all(api, random.Random(22), events, client, shards)
            finally:
                writer.stop()
        assert writer.written > 500, "the writer was to go on meanwhile"
    for found in (walks, exports):
        assert sum(count > 0 for count in found) > QUERIES / 3
        assert sum(count > 100 for count in found) > QUERIES / 10
