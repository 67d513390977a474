"""`q`, alone and beside filters with few and many members."""

import random
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.client import Api
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import CUSTOMERS, ODD_IDS, make_groups
from tests.integration.ways import force

ODD_CUSTOMERS = ("", "cus_\x01", "cus_\x7f", "cus_\\", "CUS_Kelvin K", "cus_ſ", "cus_İ")
GROUPS = make_groups(random.Random(11), 600)
for number, customer in enumerate(ODD_CUSTOMERS):
    GROUPS[30 + number]["customer_id"] = customer
OF_JSON = ("null", '"', "\\", "\\u0001", "_id", '","', "{", "é", "ss", "ß", "k", "i")
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
