"""In front of every route: who asks, and what a request may look like at all."""

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.auth import Credentials
from api.limits import URL_BYTES_KEY, refused
from api.observe import exchange_of


class Gate:
    """Credentials first, known path or not; then what a request may look like at all."""

    def __init__(
        self, app: ASGIApp, credentials: Credentials, open_paths: frozenset[bytes], url_bytes_max: int
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._open_paths = open_paths
        self._url_bytes_max = url_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["raw_path"] not in self._open_paths and not self._allowed(scope):
            exchange_of(scope).refused = "credentials"
            await errors.unauthorized()(scope, receive, send)
        else:
            url_bytes = scope.get(URL_BYTES_KEY) or len(scope["raw_path"]) + len(scope["query_string"])
            refusal = refused(scope["method"], url_bytes, scope["headers"], self._url_bytes_max)
            if refusal is None:
                await self._app(scope, receive, send)
                return
            exchange_of(scope).refused = refusal.reason
            closing = {"Connection": "close"}
            await errors.problem(refusal.status, refusal.kind, refusal.message, closing)(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        return self._credentials.allow(authorization, time.time())
