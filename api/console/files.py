"""Routes for the files of the console. They hold no data, so they need no credentials."""

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from api.middleware.access import Access, RuledRoute

PATH = "/console"
# Path of all files in metrics and access log.
TEMPLATE = PATH + "/{file}"
PAGE = "index.html"
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Names do not change with a release: each use asks whether the file did.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class File:
    """`etag` is that of the plain form; the compressed one has its own."""

    plain: bytes
    compressed: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "File":
        digest = blake2b(content, digest_size=12).hexdigest()
        # Without a time in it, so that all processes send the same bytes.
        return cls(content, gzip.compress(content, 9, mtime=0), digest, _MEDIA_TYPES[name.rpartition(".")[2]])

    def answer(self, request: Request, headers: dict[str, str]) -> Response:
        is_compressed = "gzip" in request.headers.get("accept-encoding", "")
        etag = f'"{self.etag}-gzip"' if is_compressed else f'"{self.etag}"'
        headers = {**_HEADERS, **headers, "ETag": etag}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        return Response(self.compressed if is_compressed else self.plain, headers=headers, media_type=self.media_type)


@cache
def static_files() -> dict[str, File]:
    """Returns all files by their path below `static`. They are read and compressed at the first call."""
    return {name: File.of(name, path.read_bytes()) for name, path in _walk(files(__package__) / "static", "")}


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        name = prefix + path.name
        found += _walk(path, name + "/") if path.is_dir() else [(name, path)]
    return found


def console_routes(is_on: bool) -> list[RuledRoute]:
    """Returns a route for each file, `/console` for the page, and `/`, which redirects to it."""
    if not is_on:
        return []
    routes = [_file_route(name) for name in static_files() if name != PAGE]
    return [RuledRoute("/", _redirect, Access.OPEN), RuledRoute(PATH, _page, Access.OPEN), *routes]


def _file_route(name: str) -> RuledRoute:
    async def file(request: Request) -> Response:
        return static_files()[name].answer(request, {})

    return RuledRoute(f"{PATH}/{name}", file, Access.OPEN, template=TEMPLATE)


async def _page(request: Request) -> Response:
    return static_files()[PAGE].answer(request, {"Link": _preloaded()})


@cache
def _preloaded() -> str:
    """Returns a header that lets the browser request all modules at once, not one import after the other.

    It requests them in this order, some at a time: those of the page first, then those of the views, in which the first
    one has the first name. Relative to the page, so that it works behind a proxy that adds a prefix.
    """
    modules = sorted((name for name in static_files() if name.endswith(".js")), key=lambda name: name.count("/"))
    return ", ".join(f"<console/{name}>; rel=modulepreload" for name in modules)


async def _redirect(_: Request) -> Response:
    return Response(status_code=307, headers={"Location": "console", "Cache-Control": "no-cache"})
