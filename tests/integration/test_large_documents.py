"""Groups of many orders: their documents are read after the list, some at a time, and no script puts them together."""

import asyncio
import json
import random
from decimal import Decimal

import pytest
from redis import Redis

from projector.readmodel.client.batches import Batches, Block, Command, Reply
from projector.readmodel.query.page.documents import FIRST_ROWS
from tests.fields import DEFAULT_FIELDS
from tests.integration.client import running
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import make_groups, serve

GROUPS = make_groups(random.Random(6), 60)
for _group in GROUPS:
    _group["orders"] = [{**_group["orders"][0], "id": f"order_{n}"} for n in range(200)]
# Of one document, in bytes, at least.
LARGE = 40_000


@pytest.mark.parametrize("shards", [1, 3])
def test_large_documents_are_read_some_at_a_time(
    one_redis_url: str, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    read: list[int] = []
    send = Batches.send

    def recorded(batches: Batches, command: Command | Block) -> "asyncio.Future[Reply]":
        if isinstance(command, Block):
            read.extend(len(one) - 2 for one in command.commands if one[0] == "HMGET" and str(one[1]).endswith("rest"))
        return send(batches, command)

    monkeypatch.setattr(Batches, "send", recorded)
    with Redis.from_url(one_redis_url) as client:
        serve(client, GROUPS, shards=shards)
    request = Request(limit=50, offset=5, fields="*orders", names=(*DEFAULT_FIELDS, "orders"))
    expected = shown_as_json(answer(GROUPS, request))
    assert all(len(json.dumps(group, default=str)) > LARGE for group in expected["order_groups"])
    with running(one_redis_url) as api:
        for _ in range(2):
            # The first one loads the scripts, and asks again for what it had asked for with them.
            read.clear()
            response = api.get("/admin/order-groups?limit=50&offset=5&fields=*orders")
    assert response.status_code == 200
    assert json.loads(response.content, parse_float=Decimal) == expected
    assert sum(read) == 50
    assert len(read) > shards
    assert max(read[:shards]) <= FIRST_ROWS
    # From then on a megabyte, of all shards together.
    assert max(read[shards:]) * LARGE * shards < 1024 * 1024
