"""Groups of many orders: their records are read after the list, some at a time."""

import asyncio
import json
import random
from decimal import Decimal

import pytest
from redis import Redis

from projector.readmodel.client.batches import Batches, Block, Command, Reply
from tests.fields import DEFAULT_FIELDS
from tests.integration.client import running
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import make_groups, serve
from tests.integration.ways import force

GROUPS = make_groups(random.Random(6), 60)
for _group in GROUPS:
    _order = _group["orders"][0]
    _group["orders"] = [{**_order, "id": f"order_{n:03}"} for n in range(200)]
    # Documents are rendered from the orders.
    _group |= {
        "total": 200 * _order["total"],
        "seller_count": 1,
        "order_count": 200,
        "updated_at": _order["updated_at"],
    }
    _group |= {"seller_ids": [_order["seller_id"]], "statuses": [_order["status"]]}
    _group["sales_channel_ids"] = [_order["sales_channel_id"]] if _order["sales_channel_id"] else []
# Of one document, in bytes, at least.
LARGE = 40_000


@pytest.mark.parametrize("shards", [1, 3])
def test_large_records_are_read_some_at_a_time(
    one_redis_url: str, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    force(monkeypatch, RECORD_BYTES=100_000)
    monkeypatch.setattr("projector.readmodel.query.page.records.READ_BYTES", 300_000)
    read: list[int] = []
    send = Batches.send

    def recorded(batches: Batches, command: Command | Block) -> "asyncio.Future[Reply]":
        if isinstance(command, Block):
            read.extend(
                len(one) - 2 for one in command.commands if one[0] == "HMGET" and str(one[1]).endswith("record")
            )
        return send(batches, command)

    monkeypatch.setattr(Batches, "send", recorded)
    # More than one command of the answer reads.
    groups = [{**group, "id": f"{group['id']}_{n}"} for n in range(10) for group in GROUPS]
    with Redis.from_url(one_redis_url) as client:
        serve(client, groups, shards=shards)
    request = Request(limit=400, offset=5, fields="*orders", names=(*DEFAULT_FIELDS, "orders"))
    expected = shown_as_json(answer(groups, request, shards))
    assert all(len(json.dumps(group, default=str)) > LARGE for group in expected["order_groups"])
    with running(one_redis_url, redis_wait_ms=4000, request_timeout_ms=10_000) as api:
        for _ in range(2):
            # The first one loads the scripts, and asks again for what it had asked for with them.
            read.clear()
            response = api.get("/admin/order-groups?limit=400&offset=5&fields=*orders")
    assert response.status_code == 200
    assert json.loads(response.content, parse_float=Decimal) == expected
    assert 100 < sum(read) < 400
    # About 15 000 bytes each, of all shards together.
    assert len(read) > 8
    assert max(read) * 10_000 < 300_000
