"""Checks credentials: a JWT of a configured key, or an API key against configured hashes.

The result is an identity, or none. The reason is never disclosed, neither in the response nor in a log.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from math import inf
from typing import Self

from msgspec import UNSET, Struct
from starlette.types import Scope

from api.errors import ConfigError
from api.middleware.jwks import KeySet
from api.middleware.tokens import NO_DEMANDS, Claims, Demands, Verifier

# Key of the Identity in the scope of a request.
IDENTITY_KEY = "order_groups.identity"
# Verified tokens in the cache. Verifying one takes as long as half an answer.
CACHED_TOKENS_MAX = 1000

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Identity(Struct, frozen=True):
    """Whose request it is. `name`: of a user or an API key, no secret. `expires_s`: Unix time at which the credentials
    expire; infinite if they do not.
    """

    name: str
    expires_s: float = inf


def identity_of(scope: Scope) -> Identity:
    """Returns that of a request that was admitted by its credentials."""
    found = scope[IDENTITY_KEY]
    assert isinstance(found, Identity)
    return found


class Credentials:
    """The configured keys, ready to check requests. `keys`: those of JWKS_URL, which change; None without it."""

    __slots__ = ("_cached", "_cached_with", "_demands", "_key_hashes", "_verifiers", "keys")

    def __init__(
        self, verifiers: Sequence[Verifier], key_hashes: Sequence[bytes], demands: Demands, keys: KeySet | None
    ) -> None:
        self._verifiers = tuple(verifiers)
        self._key_hashes = tuple(key_hashes)
        self._demands = demands
        self.keys = keys
        self._cached: dict[bytes, Claims] = {}
        self._cached_with = 0

    @classmethod
    def of(
        cls,
        jwt_secret: str | None,
        jwt_public_key: str | None,
        api_key_hashes: Sequence[str],
        demands: Demands = NO_DEMANDS,
        jwks_url: str | None = None,
    ) -> Self:
        """Raises ConfigError if nothing is set, or a key, a hash or a URL is invalid."""
        verifiers = []
        if jwt_secret is not None:
            verifiers.append(_secret(jwt_secret))
        if jwt_public_key is not None:
            verifiers.append(_public(jwt_public_key))
        hashes = [key_hash("API_KEY_HASHES", text) for text in api_key_hashes]
        published = None if jwks_url is None else _key_set(jwks_url, demands)
        if not verifiers and not hashes and published is None:
            known = "JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL, API_KEY_HASHES or OPERATOR_KEY_HASHES"
            raise ConfigError(f"{known}: at least one must be set")
        return cls(verifiers, hashes, demands, published)

    def identity(self, authorization: Sequence[bytes], now_s: float) -> Identity | None:
        """Returns whose request it is; None if it is not authenticated. `now_s`: Unix time in seconds.

        `authorization`: the values of all headers of that name. More than one is refused: a proxy might have checked
        another one.
        """
        scheme, secret = _parted(authorization)
        if scheme == b"bearer":
            return self._api_key([secret]) or self._user(secret, now_s)
        if scheme == b"basic":
            return self._api_key([secret, *_user_names(secret)])
        return None

    async def learn_key(self, authorization: Sequence[bytes]) -> bool:
        """Reads JWKS_URL again if the token names a key that is not known. Returns whether it is known now.

        For a request that was not allowed. Raises KeysUnknown if the keys cannot be read.
        """
        scheme, secret = _parted(authorization)
        return self.keys is not None and scheme == b"bearer" and await self.keys.learn(secret.decode("latin-1"))

    def actor_of(self, token: bytes, now_s: float) -> str | None:
        """Returns the actor's id, which is not empty; None if it is no valid token."""
        claims = self._valid(token, now_s)
        return None if claims is None else claims.actor_id

    def _user(self, token: bytes, now_s: float) -> Identity | None:
        claims = self._valid(token, now_s)
        if claims is None:
            return None
        return Identity(f"user {claims.actor_id}", inf if claims.exp is UNSET else claims.exp)

    def _valid(self, token: bytes, now_s: float) -> Claims | None:
        if self.keys is not None and self._cached_with != self.keys.readings:
            # A key may have been withdrawn, and what it signed with it.
            self._cached.clear()
            self._cached_with = self.keys.readings
        claims = self._cached.get(token) or self._verified(token)
        return claims if claims is not None and self._demands.are_met(claims, now_s) else None

    def _verified(self, token: bytes) -> Claims | None:
        """Caches valid tokens only, so that invalid ones cannot evict them."""
        text = token.decode("latin-1")
        verifiers = self._verifiers if self.keys is None else (*self._verifiers, *self.keys.named_by(text))
        claims = next((found for verifier in verifiers if (found := verifier.claims(text))), None)
        if claims is not None:
            if len(self._cached) >= CACHED_TOKENS_MAX:
                self._cached.clear()
            self._cached[token] = claims
        return claims

    def _api_key(self, keys: Sequence[bytes]) -> Identity | None:
        """Compares with every hash, also after a match, each in constant time."""
        found = None
        for key in keys:
            digest = hashlib.sha256(key).digest()
            for number, known in enumerate(self._key_hashes):
                if hmac.compare_digest(digest, known):
                    found = Identity(f"key {number}")
        return found


def _parted(authorization: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Returns the scheme in lower case, and the secret; both empty unless there is one header of two words."""
    parts = authorization[0].split() if len(authorization) == 1 else []
    return (parts[0].lower(), parts[1]) if len(parts) == 2 else (b"", b"")


def _user_names(secret: bytes) -> list[bytes]:
    """Returns the user name of RFC 7617 without a password: Medusa's SDK sends a key as `Basic base64(key:)`.

    Medusa also accepts `Basic base64(key)` and, handled by the caller, `Basic key`.
    """
    try:
        decoded = base64.b64decode(secret, validate=True)
    except binascii.Error:
        return []
    return [decoded.removesuffix(b":")]


def _secret(text: str) -> Verifier:
    try:
        return Verifier.of_secret(text)
    except ValueError as error:
        raise ConfigError(f"JWT_SECRET: expected a secret text, found {error}") from error


def _public(pem: str) -> Verifier:
    try:
        return Verifier.of_pem(pem)
    except ValueError as error:
        raise ConfigError(f"JWT_PUBLIC_KEY: {error}") from error


def _key_set(url: str, demands: Demands) -> KeySet:
    if demands.issuer is None or demands.audience is None:
        # An issuer signs tokens for all of its applications, and often for all of its customers, with the same keys.
        raise ConfigError("JWKS_URL: expected JWT_ISSUER and JWT_AUDIENCE to be set as well")
    try:
        return KeySet(url)
    except ValueError as error:
        raise ConfigError(f"JWKS_URL: {error}") from error


def key_hash(setting: str, text: str) -> bytes:
    """Returns the bytes of a hash in hex. Raises ConfigError."""
    if not _SHA256_HEX.fullmatch(text):
        raise ConfigError(f"{setting}: expected SHA-256 hashes of 64 hexadecimal digits, separated by commas")
    return bytes.fromhex(text)
