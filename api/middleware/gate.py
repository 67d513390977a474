"""Middleware before every route: credentials, then the head of the request."""

import time
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.http.limits import TOO_MANY_CONNECTIONS, URL_BYTES_KEY, WIRE_KEY, Refusal, refused
from api.middleware.auth import IDENTITY_KEY, Credentials, Identity
from api.middleware.jwks import KeysUnknown
from api.middleware.observe import exchange_of


class Wire(Protocol):
    """The connection of a request: see api/http/wire.py."""

    @property
    def is_spare(self) -> bool:
        """Whether only paths that need no credentials are answered on it."""

    def mark_authenticated(self) -> None: ...


class Gate:
    """Checks credentials first, whether or not the path exists; then the limits of the head."""

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
            return
        # Removed from the scope, since the wire refers to it: only the garbage collector would free that cycle.
        wire: Wire | None = scope.pop(WIRE_KEY, None)
        if scope["raw_path"] not in self._open_paths:
            if wire is not None and wire.is_spare:
                await _refuse(TOO_MANY_CONNECTIONS, scope, receive, send)
                return
            try:
                identity = await self._identity(scope)
            except KeysUnknown:
                exchange_of(scope).refused = "keys_unknown"
                await errors.unverifiable()(scope, receive, send)
                return
            if identity is None:
                exchange_of(scope).refused = "credentials"
                await errors.unauthorized()(scope, receive, send)
                return
            scope[IDENTITY_KEY] = identity
            if wire is not None:
                wire.mark_authenticated()
        url_bytes = scope.get(URL_BYTES_KEY) or len(scope["raw_path"]) + len(scope["query_string"])
        refusal = refused(scope["method"], url_bytes, scope["headers"], self._url_bytes_max)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(refusal, scope, receive, send)

    async def _identity(self, scope: Scope) -> Identity | None:
        """Raises KeysUnknown."""
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        identity = self._credentials.identity(authorization, time.time())
        if identity is None and await self._credentials.learn_key(authorization):
            return self._credentials.identity(authorization, time.time())
        return identity


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    exchange_of(scope).refused = refusal.reason
    headers = {"Connection": "close"}
    if refusal.status == 503:
        headers["Retry-After"] = str(errors.RETRY_AFTER_S)
    await errors.problem(refusal.status, refusal.kind, refusal.message, headers)(scope, receive, send)
