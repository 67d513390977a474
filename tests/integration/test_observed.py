"""Request ids, the access log, metrics, and access to them."""

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.integration.raw import AUTHORIZATION, LIST, Connection, request
from tests.integration.seed import go_live, make_groups, write
from tests.processes import Api, token
from tests.servers.process import wait_until

GROUPS = 30
KEY = "sk_a_secret_key"
JSON = {"LOG_FORMAT": "json", "API_KEY_HASHES": hashlib.sha256(KEY.encode()).hexdigest()}
HEALTH = ("/health/live", "/health/ready")
GENERATED = re.compile(r"[0-9a-f]{16}")
PLANS = {
    "rank": "limit=7",
    "look-up": "limit=7&id=og_SS&status=pending",
    "masks": "limit=7&q=og",
    "nothing": "limit=7&id=",
}


@pytest.fixture
def filled(one_redis_url: str) -> str:
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(1), GROUPS))
        go_live(client)
    return one_redis_url


@pytest.fixture
def api(filled: str, tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, filled, **JSON) as api:
        api.wait_until_ready()
        yield api


def lines(api: Api, number: int) -> list[dict[str, Any]]:
    """Waits for so many lines of the access log and returns them, without those of the health checks at the start.

    A line is written when the answer is sent, so its client may be the first to know.
    """

    def found() -> list[dict[str, Any]]:
        whole = api.text().rpartition("\n")[0]
        logged = [json.loads(line) for line in whole.splitlines()]
        return [line for line in logged if line["logger"] == "api.access" and line["route"] not in HEALTH]

    wait_until(lambda: len(found()) >= number, 5, f"{number} lines")
    assert len(found()) == number
    return found()


# --- the id ---


def test_every_answer_has_an_id(api: Api) -> None:
    paths = [LIST, LIST + "?limit=x", LIST + "/none", "/nothing", "/health/live", "/health/ready", "/metrics"]
    answers = [api.client.get(path) for path in paths]
    answers += [api.client.get(LIST, headers={"Authorization": ""}), api.client.post(LIST), api.client.head(LIST)]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 404, 200, 200, 200, 401, 405, 200]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert all(GENERATED.fullmatch(given) for given in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("given", ["a", "req_01HXYZ", "~" * 128, "!\"'()[]{};:,"])
def test_the_id_of_the_request_is_returned(api: Api, given: str) -> None:
    for path in (LIST, "/nothing", "/health/live"):
        assert api.client.get(path, headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    assert [line["request_id"] for line in lines(api, 2)] == [given] * 2


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"a\tb", b"\xc3\xa4", b"\x80"])
def test_a_malformed_id_is_replaced(api: Api, given: bytes) -> None:
    with Connection(api.port) as connection:
        connection.send(request(headers=AUTHORIZATION + b"X-Request-Id: " + given + b"\r\n"))
        assert GENERATED.fullmatch(connection.got().headers["x-request-id"])


def test_an_internal_error_is_logged_with_its_id(filled: str, api: Api) -> None:
    with Redis.from_url(filled) as client:
        client.delete("og:{0.0}:bits:all")
        client.hset("og:{0.0}:bits:all", "of", "another type")
    answer = api.client.get(LIST + "?order=total", headers={"X-Request-Id": "the-bad-one"})
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] == "the-bad-one"
    (line,) = lines(api, 1)
    assert (line["status"], line["request_id"]) == (500, "the-bad-one")
    faults = [json.loads(line) for line in api.text().splitlines() if "unknown_error" in line]
    assert len(faults) == 1
    assert faults[0]["request_id"] == "the-bad-one"
    assert faults[0]["level"] == "error"
    assert "ReadModelFault" in faults[0]["exception"]
    # One line, though it has a cause with a traceback of its own.
    assert sum("Traceback" in line for line in api.text().splitlines()) == 1


# --- the access log ---


@pytest.mark.parametrize("plan", PLANS)
def test_the_fields_of_a_line(api: Api, plan: str) -> None:
    answer = api.client.get(f"{LIST}?{PLANS[plan]}")
    (line,) = lines(api, 1)
    assert 0 < line.pop("duration_ms") < 5000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line.pop("timestamp"))
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "api.access",
        "method": "GET",
        "route": LIST,
        "target": f"{LIST}?{PLANS[plan]}",
        "status": 200,
        "bytes": len(answer.content),
        "plan": plan,
        "rows": len(answer.json()["order_groups"]),
        "refused": None,
        "request_id": answer.headers["X-Request-Id"],
    }


def test_rows_are_counted(api: Api) -> None:
    queries = ("limit=0", "limit=5&offset=28", "limit=5&offset=30", "limit=5&offset=999999", "limit=1000")
    rows = [len(api.client.get(f"{LIST}?{query}").json()["order_groups"]) for query in queries]
    assert [line["rows"] for line in lines(api, len(queries))] == rows == [0, 2, 0, 0, 30]


def test_routes_are_templates_and_targets_are_short(api: Api) -> None:
    api.client.get(LIST + "/og_1?fields=id")
    api.client.get(LIST + "?q=" + "x" * 300)
    api.client.get("/unknown/%0a%22")
    api.client.get(LIST + "/?limit=1")
    api.client.get(LIST + "/og_1/")
    found = lines(api, 5)
    assert [line["route"] for line in found] == [LIST + "/{id}", LIST, "other", LIST, LIST + "/{id}"]
    assert found[0]["target"] == LIST + "/og_1?fields=id"
    assert len(found[1]["target"]) == 200
    assert found[1]["target"].endswith("x…")
    assert found[2]["target"] == "/unknown/%0a%22"
    assert found[3]["target"] == LIST + "/?limit=1"


def test_no_secret_is_in_the_log(api: Api) -> None:
    for header in (f"Bearer {token()}", f"Bearer {KEY}", f"Basic {KEY}", "Bearer a_wrong_one"):
        api.client.get(LIST, headers={"Authorization": header})
    with Connection(api.port) as connection:
        connection.send(b"\x00" + AUTHORIZATION)
        assert connection.got().status == 400
    assert [line["status"] for line in lines(api, 5)] == [200, 200, 200, 401, 400]
    for secret in (token(), token().rsplit(".")[-1], KEY, "a_wrong_one"):
        assert secret not in api.text()


def test_a_refusal_is_logged_with_its_reason(api: Api) -> None:
    with Connection(api.port) as connection:
        connection.send(request(headers=b""))
        connection.send(request(headers=AUTHORIZATION + b"Content-Length: 1\r\n"))
        assert [connection.got().status for _ in range(2)] == [401, 413]
    with Connection(api.port) as connection:
        connection.send(b"\x00")
        request_id = connection.got().headers["x-request-id"]
    api.client.get("/health/live", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    found = lines(api, 3)
    assert [line["refused"] for line in found] == ["credentials", "body", "protocol"]
    assert "uvicorn" not in api.text(), "a client fills the log, and nobody can do anything about it"
    assert (found[2]["request_id"], found[2]["target"], found[2]["status"]) == (request_id, "-", 400)


@pytest.mark.parametrize(
    "settings", [{"ACCESS_LOG": "off"}, {"LOG_LEVEL": "warning"}], ids=["switched-off", "below-the-level"]
)
def test_no_access_log(filled: str, tmp_path: Path, settings: dict[str, str]) -> None:
    with Api(tmp_path, filled, **settings, **JSON) as api:
        assert api.client.get(LIST).status_code == 200
        assert api.stop() == 0
        assert "api.access" not in api.text()


def test_the_console_format(filled: str, tmp_path: Path) -> None:
    with Api(tmp_path, filled, LOG_FORMAT="console") as api:
        api.wait_until_ready()
        api.client.get(LIST + '?q="\u2028')
        assert api.stop() == 0
        (line,) = (line for line in api.text().splitlines() if f" route={LIST} " in line)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
    assert re.match(rf"{stamp} \[info     \] request +\[api\.access\] method=GET route={LIST} target=\"", line)
    assert " status=200 " in line
    assert " plan=masks rows=0 " in line


# --- metrics ---


def test_requests_are_counted_by_label(api: Api) -> None:
    for query in (*PLANS.values(), PLANS["rank"], "limit=x"):
        api.client.get(f"{LIST}?{query}")
    api.client.head(LIST)
    api.client.post(LIST)
    api.client.request("BREW", LIST)
    api.client.get(LIST + "/none")
    for path in ("/a", "/b", "/c"):
        api.client.get(path)
        api.client.get(path, headers={"Authorization": ""})
    answer = api.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = {
        (labels["route"], labels["method"], labels["plan"], labels["status"]): value
        for labels, value in samples(answer.text, "order_groups_api_requests_total")
        if labels["route"] not in HEALTH
    }
    assert found == {
        (LIST, "GET", "rank", "200"): 2,
        (LIST, "GET", "look-up", "200"): 1,
        (LIST, "GET", "masks", "200"): 1,
        (LIST, "GET", "nothing", "200"): 1,
        (LIST, "GET", "-", "400"): 1,
        (LIST, "HEAD", "rank", "200"): 1,
        (LIST, "other", "-", "405"): 1,
        (LIST + "/{id}", "GET", "-", "404"): 1,
        ("other", "GET", "-", "404"): 3,
        ("other", "GET", "-", "401"): 3,
    }
    timed = dict_of(samples(answer.text, "order_groups_api_request_duration_seconds_count"), "route", "plan")
    assert timed[LIST, "rank"] == 3
    assert dict_of(samples(answer.text, "order_groups_api_refused_total"), "reason") == {
        ("credentials",): 3,
        ("protocol",): 1,
    }
    assert samples(answer.text, "order_groups_api_connections") == [({}, 1)]
    assert samples(answer.text, "order_groups_api_requests_in_flight") == [({}, 0)]


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in found]


def dict_of(found: list[tuple[dict[str, str], float]], *names: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels[name] for name in names): value for labels, value in found}


def test_openmetrics_if_accepted(api: Api) -> None:
    answer = api.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("access", "unknown", "known"), [("credentials", 401, 200), ("open", 200, 200), ("off", 401, 404)]
)
def test_access_to_metrics(filled: str, tmp_path: Path, access: str, unknown: int, known: int) -> None:
    with Api(tmp_path, filled, METRICS_ACCESS=access) as api:
        assert api.client.get("/metrics", headers={"Authorization": ""}).status_code == unknown
        answer = api.client.get("/metrics")
        assert answer.status_code == known
        assert ("order_groups_api_requests_total" in answer.text) == (known == 200)


def test_metrics_need_credentials_by_default(api: Api) -> None:
    assert api.client.get("/metrics", headers={"Authorization": ""}).status_code == 401
