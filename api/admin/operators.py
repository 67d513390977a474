"""Who is an operator: the owner of a configured key, or a listed actor with a valid token."""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.middleware.auth import Credentials
from api.middleware.observe import exchange_of

REFUSAL = "Expected an operator: a key of OPERATOR_KEY_HASHES or an actor of OPERATOR_ACTOR_IDS, as a Bearer"

# Characters of a hash that name a key in logs.
_SHOWN = 8

Endpoint = Callable[[Request], Awaitable[Response]]
# An endpoint that is also given the name of the operator.
OperatorEndpoint = Callable[[Request, str], Awaitable[Response]]


class Operators:
    """`key_hashes`: SHA-256 of their keys, which `credentials` accept as well."""

    __slots__ = ("_actor_ids", "_credentials", "_key_hashes")

    def __init__(self, key_hashes: Sequence[bytes], actor_ids: Iterable[str], credentials: Credentials) -> None:
        self._key_hashes = key_hashes
        self._actor_ids = frozenset(actor_ids)
        self._credentials = credentials

    def name_of(self, authorization: Sequence[bytes], now_s: float) -> str | None:
        """Returns the operator's name for logs, such as `actor user_1`; None for anybody else.

        `authorization`: the header of an authenticated request. `now_s`: Unix time in seconds.
        """
        scheme, secret = authorization[0].split()
        if scheme.lower() != b"bearer":
            return None
        digest, name = hashlib.sha256(secret).digest(), None
        for known in self._key_hashes:
            if hmac.compare_digest(digest, known):
                name = f"key {known.hex()[:_SHOWN]}"
        if name is None:
            actor_id = self._credentials.actor_of(secret, now_s)
            name = f"actor {actor_id}" if actor_id in self._actor_ids else None
        return name

    def only(self, endpoint: OperatorEndpoint) -> Endpoint:
        """Returns the endpoint for operators; others get 403. `Gate` has refused requests without credentials."""

        async def guarded(request: Request) -> Response:
            authorization = [value for name, value in request.scope["headers"] if name == b"authorization"]
            who = self.name_of(authorization, time.time())
            if who is None:
                exchange_of(request.scope).refused = "operator"
                return errors.problem(403, "forbidden", REFUSAL)
            return await endpoint(request, who)

        return guarded
