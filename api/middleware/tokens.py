"""Signatures and claims of tokens: a key verifies with one algorithm, which follows from the key."""

from typing import Any, NamedTuple, Self

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from msgspec import UNSET, Struct, UnsetType

# The only kind of actor that may read the admin API, as in Medusa.
ACTOR_TYPE = "user"
# Shortest RSA modulus in bits (NIST SP 800-131A).
RSA_BITS_MIN = 2048
# Shortest safe secret of HS256 in bytes: as long as its hash (RFC 7518, section 3.2).
SECRET_BYTES_MIN = 32


class Claims(Struct):
    """As in Medusa, `exp` and `nbf` are optional; if present, they must be numbers.

    `iss` and `aud` may be anything, as long as no setting asks for them.
    """

    actor_type: str
    actor_id: str
    exp: float | UnsetType = UNSET
    nbf: float | UnsetType = UNSET
    iss: Any = None
    aud: Any = None


class Demands(NamedTuple):
    """What tokens must say, whatever key they are signed with. None: anything, or nothing."""

    issuer: str | None = None
    audience: str | None = None

    def are_met(self, claims: Claims, now_s: float) -> bool:
        """`now_s`: Unix time in seconds. `aud` may be a list of audiences, as in RFC 7519."""
        return (
            (claims.exp is UNSET or now_s < claims.exp)
            and (claims.nbf is UNSET or claims.nbf <= now_s)
            and claims.actor_type == ACTOR_TYPE
            and claims.actor_id != ""
            and (self.issuer is None or claims.iss == self.issuer)
            and (self.audience is None or claims.aud == self.audience or self._is_one_of(claims.aud))
        )

    def _is_one_of(self, audiences: object) -> bool:
        return isinstance(audiences, list) and self.audience in audiences


NO_DEMANDS = Demands()


class _Secret(HMACAlgorithm):
    """HS256 without PyJWT's minimum length of the key: the secrets of many marketplaces are short."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, key: bytes) -> str | None:
        return None


_claims = msgspec.json.Decoder(Claims)


class Verifier:
    """One key with its one algorithm, which the `alg` of a token must equal."""

    __slots__ = ("_jws", "_key", "algorithm")

    def __init__(self, algorithm: str, key: bytes | RSAPublicKey | EllipticCurvePublicKey) -> None:
        self.algorithm = algorithm
        self._key = key
        self._jws = jwt.PyJWS(algorithms=[algorithm])
        if algorithm == "HS256":
            self._jws.unregister_algorithm(algorithm)
            self._jws.register_algorithm(algorithm, _Secret(HMACAlgorithm.SHA256))

    @classmethod
    def of_secret(cls, text: str) -> Self:
        """Raises ValueError with what was found, if that is no secret text."""
        try:
            return cls("HS256", HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text))
        except jwt.InvalidKeyError as error:
            raise ValueError("a key" if text else "nothing") from error

    @classmethod
    def of_public_key(cls, key: object) -> Self:
        """RS256 or ES256. Raises ValueError with what was expected and found."""
        if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            return cls("ES256", key)
        if not isinstance(key, RSAPublicKey):
            raise ValueError("expected an RSA or P-256 public key")
        if key.key_size < RSA_BITS_MIN:
            raise ValueError(f"expected at least {RSA_BITS_MIN} bits, found {key.key_size}")
        return cls("RS256", key)

    @classmethod
    def of_pem(cls, pem: str) -> Self:
        """Raises ValueError with what was expected and found."""
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError("expected an RSA or P-256 public key in PEM") from error
        return cls.of_public_key(key)

    def claims(self, token: str) -> Claims | None:
        """Returns the claims; None if the signature or a claim's type is wrong. Does not check their values."""
        try:
            return _claims.decode(self._jws.decode(token, self._key, algorithms=[self.algorithm]))
        except (jwt.InvalidTokenError, msgspec.DecodeError, UnicodeError, RecursionError):
            return None
