"""Who may look at the projector and act on it, and what a request must look like. Over a socket."""

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.operating import KEY, KEY_HASH, OperatorApi
from tests.processes import token

API_KEY = "sk_0123456789abcdef"
PATHS = ("pipeline", "parked", "actions", "actions/1-0")
ODD_PATHS = ("/admin/%70rojector/pipeline", "/admin/projector/%70arked", "/admin/projector/%61ctions")
SETTINGS = {
    "API_KEY_HASHES": hashlib.sha256(API_KEY.encode()).hexdigest(),
    "OPERATOR_ACTOR_IDS": "user_2, user_3",
    "API_CORS_ORIGINS": "https://shop.test",
}


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


# Name -> headers, and the status of a request with them.
SHAPES: dict[str, tuple[dict[str, str], int]] = {
    "nothing": ({}, 401),
    "a cookie": ({"Cookie": f"connect.sid={KEY}"}, 401),
    "the hash itself": ({"Authorization": f"Bearer {KEY_HASH}"}, 401),
    "a token of another secret": ({"Authorization": f"Bearer {token('x' * 32, actor_id='user_2')}"}, 401),
    "an expired token": ({"Authorization": f"Bearer {token(actor_id='user_2', exp=int(time.time()) - 1)}"}, 401),
    "a customer's token": ({"Authorization": f"Bearer {token(actor_id='user_2', actor_type='customer')}"}, 401),
    "another actor": ({"Authorization": f"Bearer {token()}"}, 403),
    "an actor with a claim": ({"Authorization": f"Bearer {token(roles=['operator'], operator=True)}"}, 403),
    "a longer id": ({"Authorization": f"Bearer {token(actor_id='user_2, user_3')}"}, 403),
    "an API key": ({"Authorization": f"Bearer {API_KEY}"}, 403),
    "an API key as Basic": ({"Authorization": basic(API_KEY)}, 403),
    "an operator's key as Basic": ({"Authorization": basic(KEY)}, 403),
    "an operator's key": ({"Authorization": f"Bearer {KEY}"}, 200),
    "in lower case": ({"Authorization": f"bearer {KEY}"}, 200),
    "an actor": ({"Authorization": f"Bearer {token(actor_id='user_2')}"}, 200),
    "the other actor": ({"Authorization": f"Bearer {token(actor_id='user_3')}"}, 200),
}


@pytest.fixture
def api(tmp_path: Path, one_redis_url: str) -> Iterator[OperatorApi]:
    with OperatorApi(tmp_path, one_redis_url, **SETTINGS) as api:
        yield api


def status(api: OperatorApi, method: str, path: str, headers: dict[str, str]) -> int:
    answer = api.client.build_request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    if "Authorization" not in headers:
        del answer.headers["Authorization"]
    found = api.client.send(answer)
    if found.status_code == 403:
        assert found.json()["type"] == "forbidden"
    return found.status_code


def test_who_is_an_operator(api: OperatorApi) -> None:
    for shape, (headers, expected) in SHAPES.items():
        for path in PATHS:
            there = 404 if path.startswith("actions/") else 200
            wanted = there if expected == 200 else expected
            assert status(api, "GET", f"/admin/projector/{path}", headers) == wanted, (shape, path)
        posted = 400 if expected == 200 else expected
        assert status(api, "POST", "/admin/projector/actions", headers) == posted, shape
        for odd in ODD_PATHS:
            assert status(api, "GET", odd, headers) == expected, (shape, odd)
    two = [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {token()}")]
    assert api.client.get("/admin/projector/pipeline", headers=two).status_code == 401
    assert '"refused": "operator"' in api.text() or "refused=operator" in api.text()


def test_an_operator_reads_lists(api: OperatorApi) -> None:
    answer = api.client.get("/admin/order-groups", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


def test_without_the_settings_nobody_is_an_operator(tmp_path: Path, one_redis_url: str) -> None:
    settings = {**SETTINGS, "OPERATOR_KEY_HASHES": "", "OPERATOR_ACTOR_IDS": ""}
    with OperatorApi(tmp_path, one_redis_url, **settings) as api:
        for shape, (headers, expected) in SHAPES.items():
            if headers.get("Authorization", "").endswith((KEY, basic(KEY))):
                # That key is unknown now.
                expected = 401
            got = status(api, "GET", "/admin/projector/pipeline", headers)
            assert got == (403 if expected == 200 else expected), shape


def test_no_other_origin_may_ask(api: OperatorApi) -> None:
    origin = {"Origin": "https://shop.test", "Authorization": f"Bearer {KEY}"}
    assert "access-control-allow-origin" in api.client.get("/admin/order-groups", headers=origin).headers
    answer = api.client.get("/admin/projector/pipeline", headers=origin)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = api.client.build_request(
        "OPTIONS",
        "/admin/projector/actions",
        headers={"Origin": "https://shop.test", "Access-Control-Request-Method": "POST"},
    )
    del preflight.headers["Authorization"]
    assert api.client.send(preflight).status_code == 401


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"action":"redrive"}', "missing required field `arguments`"),
        (b'{"action":"dance","arguments":{}}', "Invalid value 'dance'"),
        (b'{"action":"drop","arguments":{"number":"1"},"dry_run":true}', "Expected `int`, got `str`"),
        (b'{"action":"drop","arguments":{"number":1,"force":true},"dry_run":true}', "unknown field `force`"),
        (b'{"action":"redrive","arguments":{},"dry_run":true}', "expected one of positions, reason, or all"),
        (b'{"action":"redrive","arguments":{"all":true,"reason":"x"},"dry_run":true}', "expected one of"),
        (b'{"action":"redrive","arguments":{"positions":[]},"dry_run":true}', "length >= 1"),
        (b'{"action":"switch","arguments":{}}', "Expected 'expected'"),
        (b'{"action":"switch","arguments":{},"expected":1}', "Expected `object | null`"),
        (b'{"action":"switch\xff"}', "Invalid"),
    ],
)
def test_bad_requests_are_named(api: OperatorApi, body: bytes, found: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = api.client.post("/admin/projector/actions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid_data"), answer.text
    assert answer.json()["message"].startswith("Invalid request: ")
    assert found.lower() in answer.json()["message"].lower()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=101", "Value for field 'limit' too big, expected at most: '100'"),
        ("limit=\u0663", "Expected type: 'number' for field 'limit', got: '\u0663'"),
        ("limit=1&limit=9", "Expected type: 'number' for field 'limit', got: '1,9'"),
        (
            "limit=" + "9" * 5000,
            f"Expected type: 'number' for field 'limit', got: '{'9' * 199}\N{HORIZONTAL ELLIPSIS}'",
        ),
        ("after=x", "Expected: a position such as 'orders/0@17' for field 'after', but got: 'x'"),
        ("foo=1", "Unrecognized fields: 'foo'"),
    ],
)
def test_bad_parameters_are_named_as_those_of_lists(api: OperatorApi, query: str, found: str) -> None:
    answer = api.client.get(f"/admin/projector/parked?{query}", headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.status_code, answer.json()["message"]) == (400, f"Invalid request: {found}")


def test_a_body_of_unknown_or_great_length_is_not_read(api: OperatorApi) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    path = "/admin/projector/actions"
    assert api.client.post(path, content=iter([b"{}"]), headers=headers).status_code == 413
    assert api.client.post(path, content=b" " * 32 * 1024, headers=headers).status_code == 400
    assert api.client.post(path, content=b" " * (32 * 1024 + 1), headers=headers).status_code == 413
    # Elsewhere nothing changes.
    assert api.client.post("/admin/projector/pipeline", content=b"{}", headers=headers).status_code == 405


def test_a_body_in_pieces_and_the_next_request_on_the_connection(api: OperatorApi) -> None:
    body = b'{"action":"drop","arguments":{"number":7},"dry_run":true}'
    head = (
        f"POST /admin/projector/actions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as client:
        reader = client.makefile("rb")
        for piece in (head[:40], head[40:], body[:10], body[10:-1], body[-1:] + head + body):
            client.sendall(piece)
        for _ in range(2):
            assert reader.readline() == b"HTTP/1.1 202 Accepted\r\n"
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert b'"state":"waiting"' in reader.read(length)
    actions = api.ask("GET", "actions").json()["actions"]
    assert [one["arguments"] for one in actions] == [{"number": 7}, {"number": 7}]


@pytest.mark.thorough
def test_a_body_that_never_comes_ends(api: OperatorApi) -> None:
    head = (
        f"POST /admin/projector/actions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Length: 10\r\n\r\n{"
    ).encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as client:
        client.sendall(head)
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
