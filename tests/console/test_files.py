"""The console's files as they are served: to everybody, compressed, revalidated, under a strict policy."""

import gzip
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client import Api, running

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "api" / "console" / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*"))
POLICY = {
    **{"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'"},
    **{"img-src": "'self' data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"},
}
# Of all files together, compressed.
TRANSFER_MAX = 80_000


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with running("redis://127.0.0.1:1") as api:
        yield api


def address(name: str) -> str:
    return "/console" if name == "index.html" else f"/console/{name}"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_served_as_it_is(api: Api, name: str) -> None:
    plain = api.get(address(name), {"Accept-Encoding": "identity"})
    assert (plain.status_code, plain.content) == (200, (STATIC / name).read_bytes())
    compressed = api.get(address(name), {"Accept-Encoding": "gzip, br"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.content == plain.content
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for answer in (plain, compressed):
        assert answer.headers["Content-Type"].partition(";")[0] == kinds[name.rpartition(".")[2]]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Vary"] == "Accept-Encoding"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert dict(one.split(" ", 1) for one in policy) == POLICY
    assert plain.headers["ETag"] != compressed.headers["ETag"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_file_that_the_browser_has_is_not_sent_again(api: Api, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    etag = api.get("/console/main.js", headers).headers["ETag"]
    again = api.get("/console/main.js", {**headers, "If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag
    assert api.get("/console/main.js", {**headers, "If-None-Match": '"other"'}).status_code == 200


def test_the_page_requests_every_module_at_once(api: Api) -> None:
    links = api.get("/console", {}).headers["Link"].split(", ")
    modules = [name for name in FILES if name.endswith(".js")]
    assert sorted(links) == [f"<console/{name}>; rel=modulepreload" for name in modules]


def test_modules_of_the_first_view_are_requested_before_those_of_others(api: Api) -> None:
    """Rows wait for what the page and its first view import."""
    needed, found = ["main.js", "views/groups/view.js"], set[str]()
    while needed:
        name = needed.pop()
        found.add(name)
        imported = re.findall(r'^import [^;]*?"(.+?)";', (STATIC / name).read_text(), re.MULTILINE)
        paths = [posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in imported]
        needed += [path for path in paths if path not in found]
    links = api.get("/console", {}).headers["Link"].split(", ")
    first = {link.removeprefix("<console/").partition(">")[0] for link in links[: len(found)]}
    assert len(found) > 20
    assert first == found


def test_the_root_leads_to_the_console(api: Api) -> None:
    answer = api.get("/", {})
    assert (answer.status_code, answer.headers["Location"]) == (307, "console")


def test_other_paths_are_refused(api: Api) -> None:
    for path in ("/console/", "/console/nothing.js", "/console/index.html", "/console/../api/app.py", "/console/views"):
        assert api.get(path, {}).status_code == 401, path


def test_off_there_is_nothing() -> None:
    with running("redis://127.0.0.1:1", console=False) as api:
        for path in ("/", "/console", "/console/main.js"):
            assert api.get(path, {}).status_code == 401
            assert api.get(path).status_code == 404


def test_all_files_together_are_small() -> None:
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in FILES) <= TRANSFER_MAX
