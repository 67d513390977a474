"""Checks credentials: a JWT of the configured algorithm, or an API key against configured hashes.

The result is yes or no. The reason is never disclosed, neither in the response nor in a log.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Self

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from msgspec import UNSET, Struct, UnsetType

from api.errors import ConfigError

# The only kind of actor that may read the admin API, as in Medusa.
ACTOR_TYPE = "user"
# Verified tokens in the cache. Verifying one takes as long as half an answer.
CACHED_TOKENS_MAX = 1000
# Shortest RSA modulus in bits (NIST SP 800-131A).
RSA_BITS_MIN = 2048

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class _Claims(Struct):
    """As in Medusa, `exp` and `nbf` are optional; if present, they must be numbers."""

    actor_type: str
    actor_id: str
    exp: float | UnsetType = UNSET
    nbf: float | UnsetType = UNSET


_claims = msgspec.json.Decoder(_Claims)


class _Secret(HMACAlgorithm):
    """HS256 without PyJWT's minimum length of the key: the secrets of many marketplaces are short."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, key: bytes) -> str | None:
        return None


class _Verifier:
    """One key with its one algorithm, which the `alg` of a token must equal."""

    __slots__ = ("_algorithm", "_jws", "_key")

    def __init__(self, algorithm: str, key: bytes | RSAPublicKey | EllipticCurvePublicKey) -> None:
        self._algorithm = algorithm
        self._key = key
        self._jws = jwt.PyJWS(algorithms=[algorithm])
        if algorithm == "HS256":
            self._jws.unregister_algorithm(algorithm)
            self._jws.register_algorithm(algorithm, _Secret(HMACAlgorithm.SHA256))

    def claims(self, token: str) -> _Claims | None:
        """Returns the claims; None if the signature or a claim's type is wrong. Does not check the times."""
        try:
            return _claims.decode(self._jws.decode(token, self._key, algorithms=[self._algorithm]))
        except (jwt.InvalidTokenError, msgspec.DecodeError, UnicodeError, RecursionError):
            return None


class Credentials:
    """The configured keys, ready to check requests."""

    __slots__ = ("_cached", "_key_hashes", "_verifiers")

    def __init__(self, verifiers: Sequence[_Verifier], key_hashes: Sequence[bytes]) -> None:
        self._verifiers = tuple(verifiers)
        self._key_hashes = tuple(key_hashes)
        self._cached: dict[bytes, _Claims] = {}

    @classmethod
    def of(cls, jwt_secret: str | None, jwt_public_key: str | None, api_key_hashes: Sequence[str]) -> Self:
        """Raises ConfigError if nothing is set, or a key or a hash is invalid."""
        verifiers = []
        if jwt_secret is not None:
            verifiers.append(_Verifier("HS256", _secret(jwt_secret)))
        if jwt_public_key is not None:
            verifiers.append(_public(jwt_public_key))
        hashes = [_hash(text) for text in api_key_hashes]
        if not verifiers and not hashes:
            raise ConfigError("JWT_SECRET, JWT_PUBLIC_KEY or API_KEY_HASHES: at least one must be set")
        return cls(verifiers, hashes)

    def allow(self, authorization: Sequence[bytes], now_s: float) -> bool:
        """Returns whether a request is authenticated. `now_s`: Unix time in seconds.

        `authorization`: the values of all headers of that name. More than one is refused: a proxy might have checked
        another one.
        """
        if len(authorization) != 1:
            return False
        parts = authorization[0].split()
        if len(parts) != 2:
            return False
        scheme, secret = parts[0].lower(), parts[1]
        if scheme == b"bearer":
            return self._is_api_key([secret]) or self._is_valid_token(secret, now_s)
        if scheme == b"basic":
            return self._is_api_key([secret, *_user_names(secret)])
        return False

    def _is_valid_token(self, token: bytes, now_s: float) -> bool:
        claims = self._cached.get(token) or self._verified(token)
        return (
            claims is not None
            and (claims.exp is UNSET or now_s < claims.exp)
            and (claims.nbf is UNSET or claims.nbf <= now_s)
            and claims.actor_type == ACTOR_TYPE
            and claims.actor_id != ""
        )

    def _verified(self, token: bytes) -> _Claims | None:
        """Caches valid tokens only, so that invalid ones cannot evict them."""
        text = token.decode("latin-1")
        claims = next((found for verifier in self._verifiers if (found := verifier.claims(text))), None)
        if claims is not None:
            if len(self._cached) >= CACHED_TOKENS_MAX:
                self._cached.clear()
            self._cached[token] = claims
        return claims

    def _is_api_key(self, keys: Sequence[bytes]) -> bool:
        """Compares with every hash, also after a match, each in constant time."""
        found = False
        for key in keys:
            digest = hashlib.sha256(key).digest()
            for known in self._key_hashes:
                found |= hmac.compare_digest(digest, known)
        return found


def _user_names(secret: bytes) -> list[bytes]:
    """Returns the user name of RFC 7617 without a password: Medusa's SDK sends a key as `Basic base64(key:)`.

    Medusa also accepts `Basic base64(key)` and, handled by the caller, `Basic key`.
    """
    try:
        decoded = base64.b64decode(secret, validate=True)
    except binascii.Error:
        return []
    return [decoded.removesuffix(b":")]


def _secret(text: str) -> bytes:
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text)
    except jwt.InvalidKeyError as error:
        raise ConfigError(f"JWT_SECRET: expected a secret text, found {'nothing' if not text else 'a key'}") from error


def _public(pem: str) -> _Verifier:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("JWT_PUBLIC_KEY: expected an RSA or P-256 public key in PEM") from error
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return _Verifier("ES256", key)
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise ConfigError(f"JWT_PUBLIC_KEY: expected at least {RSA_BITS_MIN} bits, found {key.key_size}")
        return _Verifier("RS256", key)
    raise ConfigError("JWT_PUBLIC_KEY: expected an RSA or P-256 public key in PEM")


def _hash(text: str) -> bytes:
    if not _SHA256_HEX.fullmatch(text):
        raise ConfigError("API_KEY_HASHES: expected SHA-256 hashes of 64 hexadecimal digits, separated by commas")
    return bytes.fromhex(text)
