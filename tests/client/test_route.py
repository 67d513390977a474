"""The route for Mercur: the API finds, sorts and counts, and Mercur renders the rows in that order."""

import hashlib
import random
from pathlib import Path
from typing import Any

from redis import Redis

from tests.client import node
from tests.integration.naive import Request, answer
from tests.integration.seed import go_live, make_groups, write
from tests.processes import Api

GROUPS = make_groups(random.Random(6), 60)
KEY = "sk_test_9876543210"
ROUTE = Path(__file__).parents[2] / "events" / "sources" / "mercur" / "route.ts"


def test_mercur_renders_what_the_read_model_finds(modules: Path, redis_url: str, tmp_path: Path) -> None:
    with Redis.from_url(redis_url) as client:
        write(client, GROUPS)
        go_live(client)
    status = GROUPS[0]["statuses"][0]
    requests = {
        "limit=5&order=-total&fields=id,*orders.items": Request(limit=5, sort="total"),
        f"status[0]={status}&offset=2&limit=3": Request(limit=3, offset=2, any_of={"status": [status]}),
        "q=none-has-this": Request(q="none-has-this"),
    }
    with Api(tmp_path, redis_url, API_KEY_HASHES=hashlib.sha256(KEY.encode()).hexdigest()) as api:
        value = {"route": str(ROUTE), "baseUrl": f"http://127.0.0.1:{api.port}", "apiKey": KEY}
        asked = [*requests, "limit=5&order=-total", "order=nothing"]
        *found, again, refused = node.run("route.cjs", modules, {**value, "requests": asked})
        wrong = node.run("route.cjs", modules, {**value, "apiKey": "sk_other", "requests": ["limit=1"]})
        gone = found[0]["body"]["order_groups"][1]["id"]
        (without_one,) = node.run("route.cjs", modules, {**value, "gone": gone, "requests": asked[:1]})
    for request, one in zip(requests.values(), found, strict=True):
        naive: dict[str, Any] = answer(GROUPS, request)
        ids = [group["id"] for group in naive["order_groups"]]
        assert one["body"] == {**naive, "order_groups": [{"id": group, "of": "mercur"} for group in ids]}
        if ids:
            assert one["read"] == {"fields": ["id", "total"], "variables": {"id": ids, "skip": 0, "take": len(ids)}}
        else:
            assert "read" not in one
    assert again == found[0]
    assert without_one["body"]["order_groups"] == [row for row in again["body"]["order_groups"] if row["id"] != gone]
    assert refused["type"] == "invalid_data"
    assert "order" in refused["message"]
    assert wrong[0]["type"] == "unexpected_state"
