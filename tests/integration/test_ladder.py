"""Every n-th place of a list, as a shard of several tells it: near to the rank that was asked for."""

import random

import pytest
from redis import Redis

from api.params.query import parse_list
from projector.readmodel.query.calls import NO_PARTS, ROUGH, Window, call
from projector.readmodel.query.plan import Select, plan
from projector.readmodel.query.query import Query
from projector.readmodel.schema.keys import Generation
from tests.fields import SORT_FIELDS
from tests.integration.naive import Request, answer
from tests.integration.seed import make_groups, write
from tests.integration.shop import force
from tests.thorough import thorough

GROUPS = make_groups(random.Random(12), 3000)


ORDERS = [(sort, number % 2 == 0) for number, sort in enumerate(SORT_FIELDS)]


@pytest.mark.parametrize(
    ("sort", "descending"), [*ORDERS, *thorough(*((sort, not descending) for sort, descending in ORDERS))]
)
def test_places_are_near(redis_url: str, sort: str, descending: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, WALKED_GROUPS=0, LISTED_GROUPS=4, AT_ONCE_MEMBERS=10**9)
    query = parse_list(f"status=pending&total[$gte]=0&order={'-' if descending else ''}{sort}")
    assert isinstance(query, Query)
    request = Request(limit=10**6, sort=sort, descending=descending)
    request.any_of["status"], request.ranges["total"] = ["pending"], {"$gte": 0}
    ids = [one["id"].encode() for one in answer(GROUPS, request)["order_groups"]]
    assert len(ids) > 1000
    chosen = plan(query)
    assert isinstance(chosen, Select)
    asked = call(chosen, query)
    keys = Generation(0, 1, 0).keys(0)
    off = []
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        write(client, GROUPS)
        client.script_load(asked.script.text)
        for start, end, step in ((0, len(ids), 400), (100, 1000, 120), (500, 600, 20), (700, 760, 2), (0, 10**6, 999)):
            command = asked.command(keys, Window(start, end, step, NO_PARTS))
            _, count, told, scores, *_ = client.execute_command(*command)
            assert count == len(ids)
            ranks = [ids.index(group_id) for group_id in told]
            assert ranks == sorted(ranks)
            wanted = range(start, min(end, len(ids)), step)
            assert len(told) == len(scores) == len(wanted)
            found = [abs(rank - one) for rank, one in zip(ranks, wanted, strict=True)]
            assert max(found) < max(1, step * ROUGH)
            off += found
    assert any(off)
