"""Every route, known or not, asked with every shape of credentials. What is refused is refused alike.

Over a socket, so that nothing between us and the server makes a request decent. 401 comes before anything else that
could be said: before the method, the path, the query and the size.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from api.app import create_app
from api.config import ApiConfig
from api.middleware.access import Access, RuledRoute
from tests.integration.raw import Answer, Connection, request
from tests.integration.seed import go_live, make_groups, write
from tests.integration.shapes import BAD_SHAPES, CONFIGURED, GOOD, GOOD_SHAPES
from tests.processes import Api

LIST = "/admin/order-groups"
UNAUTHORIZED = b'{"message":"Unauthorized"}'
# What differs between two answers to the same request.
_OWN = ("date", "x-request-id")


def routes() -> dict[str, Access]:
    """Returns the routes of the application, so that a new one is tested, too."""
    found = create_app(ApiConfig(redis_url="redis://localhost", jwt_secret="s" * 32)).router.routes
    assert all(isinstance(route, RuledRoute) for route in found), "a route without a rule"
    return {
        route.path.replace("orders/{id:path}", "orders/order_0_og_SS").replace("{id:path}", "og_SS"): route.access
        for route in found
        if isinstance(route, RuledRoute)
    }


ROUTES = routes()
# What a route cannot do without.
REQUIRED = {LIST + "/histogram": "?by=created_at:day"}
GUARDED = [path + REQUIRED.get(path, "") for path, access in ROUTES.items() if access is Access.CREDENTIALS]
OPEN = [path for path, access in ROUTES.items() if access is Access.OPEN]
# Their answers have no end, or no length: only HEAD shows that they are served.
STREAMS = (LIST + "/changes", LIST + "/export")
# Other spellings of paths, served to those who show credentials.
SAME_PATH = ("/%61dmin/order-groups", "/admin/order%2Dgroups", "/health/%6cive", LIST + "/")
# Not there, badly asked for, or not what they look like.
ODD_TARGETS = (
    *("//", "/nothing", "/admin", "/admin/", "/admin/orders", "*", "/redoc", "/metrics/", "/docs/oauth2-redirect"),
    *(LIST + "?limit=abc", LIST + "?foo=1", LIST + "?" + "q=x&" * 20_000, LIST + "/" + "x" * 70_000),
    *(LIST + tail for tail in ("/a/b", "//", "/a//", ";x", "/%00", "%00", "/..", "/%2e%2e/", "%2F", "/%2F")),
    *("//admin/order-groups", "/admin//order-groups", "/ADMIN/ORDER-GROUPS", "/admin%2forder-groups", *SAME_PATH),
    *("/health", "/health/", "/health/live/", "//health/live", "/health//live", "/health/live;x", "/health/live%00"),
    *("/health/live/..", "/health/live/../../admin/order-groups", "/health/live/%2e%2e/%2e%2e/admin/order-groups"),
    *("/HEALTH/LIVE", "/health/live/x", "/health/ready.json", "/health/liveness", "/health%5Clive", "/./health/live"),
    *("/admin/order-groups/../../health/live", "/admin/order-groups/%2e%2e/%2e%2e/health/live"),
    *("/health%2flive", "/%2fhealth/live", "/docs%2fstart.js"),
    *("/openapi.json/", "/docs/", "/docs/../health/live", "/metrics;x", "/metrics%00"),
    *("/console/", "/console/nothing.js", "/console/..", "/console/index.html", "/console/../metrics"),
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


@contextmanager
def serving(one_redis_url: str, tmp_path: Path, name: str) -> Iterator[Api]:
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(9), 20))
        go_live(client)
    with Api(tmp_path, one_redis_url, ACCESS_LOG="off", **CONFIGURED[name]) as api:
        yield api


class Requester:
    """Sends requests on one connection while the server keeps it open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    def __call__(self, target: str, lines: list[str], method: str = "GET") -> Answer:
        if self._connection is None:
            self._connection = Connection(self._port)
        headers = "".join(f"Authorization: {line}\r\n" for line in lines).encode()
        self._connection.send(request(target, headers, method))
        answer = self._connection.got(head_only=method == "HEAD")
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None


@contextmanager
def asking(api: Api) -> Iterator[Requester]:
    asker = Requester(api.port)
    try:
        yield asker
    finally:
        asker.close()


def plain(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {name: value for name, value in answer.headers.items() if name not in _OWN}, answer.body


def test_the_table_is_large_enough() -> None:
    assert len(BAD_SHAPES["secret"]) >= 60
    assert len(GUARDED) >= 6
    assert {path for path in OPEN if not path.startswith("/console")} == {"/", "/health/live", "/health/ready"}


@pytest.mark.parametrize("name", CONFIGURED)
def test_all_refusals_are_equal(one_redis_url: str, tmp_path: Path, name: str) -> None:
    """All invalid credentials on all routes; unusual targets and methods only with the common configuration."""
    targets = [*GUARDED, *(ODD_TARGETS if name == "secret" else ("/nothing",))]
    with serving(one_redis_url, tmp_path, name) as api, asking(api) as ask:
        refused = plain(ask(LIST, ["Bearer x"]))
        assert refused[0] == 401
        assert refused[2] == UNAUTHORIZED
        for shape, lines in BAD_SHAPES[name].items():
            for target in targets:
                assert plain(ask(target, lines)) == refused, (shape, target[:80])
        for shape, lines in GOOD_SHAPES[name].items():
            for path in GUARDED:
                method = "HEAD" if path in STREAMS else "GET"
                assert ask(path, lines, method).status == 200, (shape, path)


def test_methods(one_redis_url: str, tmp_path: Path) -> None:
    """401 whatever the method; with credentials only GET and HEAD are served."""
    some = [BAD_SHAPES["secret"][shape] for shape in ("none", "alg none", "expired", "two headers", "the hash itself")]
    with serving(one_redis_url, tmp_path, "secret") as api, asking(api) as ask:
        refused = plain(ask(LIST, []))
        for method in METHODS:
            body = b"" if method == "HEAD" else UNAUTHORIZED
            for target in (*GUARDED, *ODD_TARGETS):
                for lines in some:
                    assert plain(ask(target, lines, method)) == (*refused[:2], body), (method, target[:80])
            for target in GUARDED:
                if method == "GET" and target in STREAMS:
                    continue
                answer = ask(target, [f"Bearer {GOOD}"], method)
                assert answer.status == (200 if method in ("GET", "HEAD") else 405), (method, target)
                if answer.status == 405:
                    assert answer.json() == {"type": "not_allowed", "message": f"Method not allowed: {method}"}


def test_odd_targets_with_credentials(one_redis_url: str, tmp_path: Path) -> None:
    """Nothing but the paths themselves is served, and every refusal has the one shape."""
    with serving(one_redis_url, tmp_path, "secret") as api, asking(api) as ask:
        for target in (target for target in ODD_TARGETS if target not in SAME_PATH):
            answer = ask(target, [f"Bearer {GOOD}"])
            assert answer.status in (400, 404, 414), (target[:80], answer)
            assert answer.json().keys() == {"type", "message"}, target[:80]


@pytest.mark.parametrize("path", [path for path in OPEN if path.startswith("/health")])
def test_open_routes_ask_for_nothing_and_tell_only_their_state(one_redis_url: str, tmp_path: Path, path: str) -> None:
    with serving(one_redis_url, tmp_path, "secret") as api, asking(api) as ask:
        api.wait_until_ready()
        expected = plain(ask(path, []))
        assert expected[0] == 200
        assert expected[2] == b'{"status":"%b"}' % path.rsplit("/", 1)[1].encode()
        for shape, lines in {**BAD_SHAPES["secret"], **GOOD_SHAPES["secret"]}.items():
            assert plain(ask(path, lines)) == expected, shape
        for method in METHODS[2:]:
            assert ask(path, [], method).status == 405


@pytest.mark.parametrize(("path", "status"), [("/", 307), ("/console", 200), ("/console/main.js", 200)])
def test_the_console_is_the_same_for_everybody(one_redis_url: str, tmp_path: Path, path: str, status: int) -> None:
    with serving(one_redis_url, tmp_path, "secret") as api, asking(api) as ask:
        expected = plain(ask(path, []))
        assert expected[0] == status
        for shape, lines in {**BAD_SHAPES["secret"], **GOOD_SHAPES["secret"]}.items():
            assert plain(ask(path, lines)) == expected, shape
        for method in METHODS[2:]:
            assert ask(path, [], method).status == 405


def test_settings_open_and_close_their_routes(one_redis_url: str, tmp_path: Path) -> None:
    for access, without, with_credentials in (("open", 200, 200), ("off", 401, 404)):
        settings = {"OPENAPI_ACCESS": access, "METRICS_ACCESS": access, "ACCESS_LOG": "off"}
        with Api(tmp_path, one_redis_url, **settings) as api, asking(api) as ask:
            for path in [path for path in GUARDED if not path.startswith("/admin")]:
                assert ask(path, []).status == without, path
                assert ask(path, [f"Bearer {GOOD}"]).status == with_credentials, path
            assert ask(LIST, []).status == 401
