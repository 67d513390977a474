"""Whatever is listed is found by its id, by a real client over a socket."""

import random
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from redis import Redis

from tests.integration.client import BEARER
from tests.integration.seed import make_groups, serve
from tests.integration.test_server import serving

LIST = "/admin/order-groups"
IDS = (
    *(f"og_{chr(code)}x" for code in (*range(0x20), 0x7F, 0x85, 0xA0, 0x2028, 0xFEFF, 0x10FFFF)),
    *(f"og_{mark}x" for mark in "/?#%&+;=:@[]\\\"'<> |"),
    *(
        "\n",
        "og_x\n",
        "\nog_x",
        "og_\r\n\r\nx",
        "/",
        "//",
        "og_x/",
        "og_%0A",
        "og_%2F",
        "?",
        "#",
        "..x",
        "...",
        " ",
        "ä\n日",
    ),
)


@pytest.fixture
def client(one_redis_url: str) -> Iterator[httpx.Client]:
    groups = make_groups(random.Random(5), len(IDS) + 20)
    for group, group_id in zip(groups, IDS, strict=False):
        group["id"] = group_id
    with Redis.from_url(one_redis_url) as redis:
        serve(redis, groups)
    with serving(one_redis_url) as (_, url), httpx.Client(base_url=url, headers=BEARER) as client:
        yield client


def test_each_that_is_listed_is_found(client: httpx.Client) -> None:
    listed = client.get(f"{LIST}?limit=1000&fields=id").json()["order_groups"]
    ids = [group["id"] for group in listed]
    assert set(IDS) <= set(ids)
    for group_id in ids:
        response = client.get(f"{LIST}/{quote(group_id, safe='')}?fields=id")
        assert (response.status_code, response.json()) == (200, {"order_group": {"id": group_id}}), repr(group_id)


@pytest.mark.parametrize("path", [LIST + "%0A", LIST + "/og_x%0A%0A", "/metrics%0A", "/health/ready%0A"])
def test_a_line_end_behind_a_path_makes_another_path(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404
