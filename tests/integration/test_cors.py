"""What a browser needs to let a page of another origin ask, byte by byte."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.raw import AUTHORIZATION, LIST, Answer, Connection, request
from tests.integration.seed import go_live, make_groups, write
from tests.processes import Api

ADMIN = "https://admin.shop.com"
ALLOWED = (ADMIN, "http://localhost:5173", "https://preview-7.shop.dev")
FOREIGN = ("https://evil.com", "https://admin.shop.com.evil.com", "http://admin.shop.com", "null", "")
PREFLIGHT = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization,x-min-position\r\n"
EXPOSED = (
    *("Content-Disposition", "ETag", "Link", "Retry-After"),
    *("X-Export-Count", "X-Projection-Position", "X-Request-Id"),
)
CORS = "access-control-"


@pytest.fixture
def api(one_redis_url: str, tmp_path: Path) -> Iterator[Api]:
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(4), 20))
        go_live(client)
    origins = rf"{ADMIN}, http://localhost:5173,/\.shop\.dev$/"
    with Api(tmp_path, one_redis_url, ACCESS_LOG="off", API_CORS_ORIGINS=origins) as api:
        yield api


def ask(api: Api, target: str = LIST, headers: str = "", method: str = "GET", credentials: bool = True) -> Answer:
    with Connection(api.port) as connection:
        sent = headers.encode() + (AUTHORIZATION if credentials else b"")
        connection.send(request(target, sent, method))
        return connection.got(head_only=method == "HEAD")


def preflight(api: Api, origin: str, target: str = LIST) -> Answer:
    return ask(api, target, f"Origin: {origin}\r\n{PREFLIGHT}", "OPTIONS", credentials=False)


def of_cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith(CORS)}


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_preflight_needs_no_credentials(api: Api, origin: str) -> None:
    for target in (LIST, LIST + "/og_1", LIST + "?limit=abc", "/nothing"):
        answer = preflight(api, origin, target)
        assert (answer.status, answer.body) == (204, b"")
        assert of_cors(answer) == {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "GET, HEAD",
            "access-control-allow-headers": "authorization,x-min-position",
            "access-control-max-age": "600",
        }
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_preflight_of_another_origin_is_refused_as_any_request(api: Api, origin: str) -> None:
    answer = preflight(api, origin)
    assert (answer.status, answer.body) == (401, b'{"message":"Unauthorized"}')
    assert of_cors(answer) == {}
    assert answer.headers["vary"] == "Origin"


def test_options_that_is_no_preflight_needs_credentials(api: Api) -> None:
    for headers in ("", f"Origin: {ADMIN}\r\n", PREFLIGHT):
        assert ask(api, headers=headers, method="OPTIONS", credentials=False).status == 401
    assert ask(api, headers=f"Origin: {ADMIN}\r\n", method="OPTIONS").status == 405


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_page_of_an_allowed_origin_reads_every_answer(api: Api, origin: str) -> None:
    shown = {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": ", ".join(EXPOSED),
    }
    header = f"Origin: {origin}\r\n"
    page = ask(api, headers=header)
    assert (page.status, of_cors(page)) == (200, shown)
    again = ask(api, headers=f"{header}If-None-Match: {page.headers['etag']}\r\n")
    assert (again.status, of_cors(again)) == (304, shown)
    for target, status in ((LIST + "?limit=abc", 400), (LIST + "/none", 404), ("/nothing", 404)):
        answer = ask(api, target, header)
        assert (answer.status, of_cors(answer)) == (status, shown)
    unauthorized = ask(api, headers=header, credentials=False)
    assert (unauthorized.status, of_cors(unauthorized)) == (401, shown)


def test_a_fault_of_ours_is_read_as_well(one_redis_url: str, api: Api) -> None:
    with Redis.from_url(one_redis_url) as client:
        client.set("og:{0.0}:by:created_at", "x")
    answer = ask(api, headers=f"Origin: {ADMIN}\r\n")
    assert answer.status == 500
    assert answer.headers["access-control-allow-origin"] == ADMIN


@pytest.mark.parametrize("origin", [None, *FOREIGN])
def test_others_get_the_answer_without_permission(api: Api, origin: str | None) -> None:
    """The browser keeps it from the page. `Vary`, so that no cache gives it to an allowed origin."""
    answer = api.client.get(LIST, headers={} if origin is None else {"Origin": origin})
    assert answer.status_code == 200
    assert [one for one in answer.headers if one.startswith(CORS)] == []
    assert answer.headers.get_list("vary", split_commas=True) == ["Authorization", "Origin"]


def test_without_the_setting_nothing_is_different(one_redis_url: str, tmp_path: Path) -> None:
    with Api(tmp_path, one_redis_url, ACCESS_LOG="off") as api:
        answer = preflight(api, ADMIN)
        assert (answer.status, of_cors(answer), answer.headers.get("vary")) == (401, {}, None)
        assert of_cors(ask(api, headers=f"Origin: {ADMIN}\r\n")) == {}
