"""`q`, whichever way select.lua takes: by all lines, or by the rows of few groups, of which some need their line."""

import random
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from tests.integration.client import Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import CUSTOMERS, ODD_IDS, Group, make_groups, serve, write
from tests.integration.shop import force

ODD_CUSTOMERS = ("", "cus_\x01", "cus_\x7f", "cus_\\", "CUS_Kelvin K", "cus_ſ", "cus_İ")
GROUPS = make_groups(random.Random(11), 600)
for number, customer in enumerate(ODD_CUSTOMERS):
    GROUPS[30 + number]["customer_id"] = customer
OF_JSON = ("null", '"', "\\", "\\u0001", "_id", '","', "{", "é", "ss", "ß", "k", "i")
SOME_IDS = [group["id"] for group in GROUPS[20:24]]
NEEDLES = sorted(
    {
        needle
        for text in (
            *ODD_IDS,
            *filter(None, CUSTOMERS),
            *ODD_CUSTOMERS,
            *OF_JSON,
            *(one["id"] for one in GROUPS[20:24]),
        )
        for needle in (text, text.upper(), text.lower(), text[1:])
        if needle
    }
)


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        serve(client, GROUPS)
        yield client


@pytest.fixture
def api(redis: "Redis", redis_url: str) -> Iterator[Api]:
    with running(redis_url) as api:
        yield api


def expected(needle: str, status: str | None) -> Any:
    request = Request(q=needle, limit=1000, any_of={"status": [status]} if status else {})
    return shown_as_json(answer(GROUPS, request))


@pytest.mark.parametrize("few", [-1, 400, 10**9])
@pytest.mark.parametrize("status", [None, "archived"])
def test_every_text_is_found(api: Api, few: int, status: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, FEW_MEMBERS=few)
    counts = set()
    for needle in NEEDLES:
        wanted = expected(needle, status)
        assert api.list(f"limit=1000&q={quote(needle)}{f'&status={status}' if status else ''}") == wanted, needle
        counts.add(wanted["count"])
    assert {0, 1} < counts
    assert max(counts) > 100


def is_plain(group: Group) -> bool:
    return all(32 <= ord(char) < 128 and char not in '"\\' for char in group["id"] + (group["customer_id"] or ""))


def of(ids: Iterable[str]) -> str:
    return "&".join(f"id[]={quote(group_id)}" for group_id in ids)


def test_plain_ones_by_their_rows_and_others_by_their_lines(api: Api, redis: "Redis") -> None:
    """Each without the other."""
    plain = [group["id"] for group in GROUPS if is_plain(group)][:200]
    odd = [group["id"] for group in GROUPS if not is_plain(group)]
    assert len(odd) > 15
    assert api.list(f"q=_&limit=0&{of(plain + odd)}")["count"] == 200 + len(odd)

    redis.delete("og:{0.0}:text")
    assert api.list(f"q=_&limit=0&{of(plain)}")["count"] == 200
    for group_id in odd:
        # Nothing is left out in silence. A comma in the only value would part it.
        assert api.get(f"/admin/order-groups?q=_&limit=0&{of([group_id, 'nobody'])}").status_code == 500, group_id

    write(redis, GROUPS)
    redis.hset("og:{0.0}:row", mapping=dict.fromkeys(odd, "{}"))
    assert api.list(f"q=_&limit=0&{of(odd)}")["count"] == len(odd)
