"""Credentials that are accepted and, mostly, that are not."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.config import ApiConfig
from api.errors import ConfigError
from api.middleware.auth import Credentials
from api.middleware.tokens import Demands

NOW_S = 1_780_000_000.0
SECRET = "a secret of the tests, long enough for HS256"
KEY = "sk_0123456789abcdef"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
USER = {"actor_id": "user_1", "actor_type": "user", "exp": NOW_S + 60}


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def token(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm)


def raw_token(header: object, claims: object, key: bytes = SECRET.encode()) -> str:
    """Signs with HS256, whatever the header says."""
    signed = segment(json.dumps(header).encode()) + "." + segment(json.dumps(claims).encode())
    return signed + "." + segment(hmac.digest(key, signed.encode(), "sha256"))


def basic(user: str) -> str:
    return base64.b64encode(user.encode()).decode()


SYMMETRIC = Credentials.of(SECRET, None, [KEY_HASH, "00" * 32])
RS256 = Credentials.of(None, pem(RSA_KEY), [])
ES256 = Credentials.of(None, pem(EC_KEY), [])
BOTH = Credentials.of(SECRET, pem(RSA_KEY), [])


def allowed(credentials: Credentials, *headers: str) -> bool:
    return credentials.identity([header.encode() for header in headers], NOW_S) is not None


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {token(USER)}",
        f"bearer {token(USER)}",
        f"BEARER  {token(USER)} ",
        f"Bearer {token({**USER, 'exp': NOW_S + 0.5})}",
        f"Bearer {token({'actor_id': 'u', 'actor_type': 'user'})}",
        f"Bearer {token({**USER, 'nbf': NOW_S, 'iat': NOW_S + 900, 'aud': 'x', 'sub': 'y', 'more': [1]})}",
        f"Bearer {KEY}",
        f"Basic {KEY}",
        f"bAsIc {basic(KEY + ':')}",
        f"Basic {basic(KEY)}",
    ],
)
def test_good_credentials(header: str) -> None:
    assert allowed(SYMMETRIC, header)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (token(USER),),
        (f"Bearer {token(USER)}", f"Bearer {token(USER)}"),
        (f"Bearer {token(USER)} x",),
        (f"Bearer,{token(USER)}",),
        (f"Basic {token(USER)}",),
        (f"Token {token(USER)}",),
        (f"Digest {KEY}",),
        (f"Bearer {token(USER)}x",),
        (f"Bearer {token(USER)[:-3]}",),
        (f"Bearer {token(USER)}.x",),
        (f"Bearer \x00{token(USER)}",),
        ("Bearer a.b.c",),
        ("Bearer ..",),
        ("Bearer é.é.é",),
        (f"Bearer {token(USER, 'another secret, just as long as it should be')}",),
        (f"Bearer {token({**USER, 'exp': NOW_S})}",),
        (f"Bearer {token({**USER, 'exp': NOW_S - 1})}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, {**USER, 'exp': 'tomorrow'})}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, {**USER, 'exp': None})}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, {**USER, 'nbf': None})}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, {**USER, 'exp': str(NOW_S + 60)})}",),
        (f"Bearer {token({**USER, 'nbf': NOW_S + 1})}",),
        (f"Bearer {token({**USER, 'actor_type': 'customer'})}",),
        (f"Bearer {token({**USER, 'actor_type': 'User'})}",),
        (f"Bearer {token({**USER, 'actor_type': ['user']})}",),
        (f"Bearer {token({**USER, 'actor_id': ''})}",),
        (f"Bearer {token({**USER, 'actor_id': None})}",),
        (f"Bearer {token({**USER, 'actor_id': 1})}",),
        (f"Bearer {token({'exp': NOW_S + 60})}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, [USER])}",),
        (f"Bearer {raw_token({'alg': 'HS256'}, 'user')}",),
        (f"Bearer {raw_token({'alg': 'none'}, USER)}",),
        (f"Bearer {raw_token({'alg': 'None'}, USER)}",),
        (f"Bearer {raw_token({'alg': ['HS256']}, USER)}",),
        (f"Bearer {raw_token({}, USER)}",),
        (f"Bearer {raw_token({'alg': 'hs256'}, USER)}",),
        (f"Bearer {raw_token({'alg': 'HS256', 'crit': ['x'], 'x': 1}, USER)}",),
        (f"Bearer {raw_token({'alg': 'HS256', 'kid': 1}, USER)}",),
        (f"Bearer {raw_token([], USER)}",),
        (f"Bearer {raw_token({'alg': 'none'}, USER).rsplit('.', 1)[0]}.",),
        (f"Bearer {token(USER, SECRET * 2, 'HS512')}",),
        (f"Bearer {token(USER, RSA_KEY, 'RS256')}",),
        (f"Bearer {token(USER, EC_KEY, 'ES256')}",),
        (f"Bearer {KEY}x",),
        (f"Bearer {KEY[:-1]}",),
        (f"Bearer {KEY_HASH}",),
        (f"Basic {KEY_HASH}",),
        (f"Basic {basic(':' + KEY)}",),
        (f"Basic {basic(KEY + ':password')}",),
        (f"Basic {basic(KEY + '::')}",),
        (f"Basic {basic(KEY)}!",),
        (f"Bearer {basic(KEY + ':')}",),
        ("Basic Og==",),
    ],
    ids=lambda headers: " | ".join(headers)[:40].encode("unicode_escape").decode(),
)
def test_bad_credentials(headers: tuple[str, ...]) -> None:
    assert not allowed(SYMMETRIC, *headers)


def test_the_key_fixes_the_algorithm() -> None:
    rs256, es256 = token(USER, RSA_KEY, "RS256"), token(USER, EC_KEY, "ES256")
    assert allowed(RS256, f"Bearer {rs256}")
    assert allowed(ES256, f"Bearer {es256}")
    assert not allowed(RS256, f"Bearer {es256}")
    assert not allowed(ES256, f"Bearer {rs256}")
    assert not allowed(RS256, f"Bearer {token(USER, RSA_KEY, 'RS512')}")
    assert not allowed(RS256, f"Bearer {token(USER, RSA_KEY, 'PS256')}")
    assert not allowed(RS256, f"Bearer {token(USER)}")


@pytest.mark.parametrize("credentials", [RS256, BOTH, ES256], ids=["rsa", "both", "ec"])
def test_a_public_key_is_no_secret(credentials: Credentials) -> None:
    for key in (pem(RSA_KEY), pem(RSA_KEY).strip(), pem(EC_KEY)):
        assert not allowed(credentials, f"Bearer {raw_token({'alg': 'HS256'}, USER, key.encode())}")


def test_secret_and_public_key_side_by_side() -> None:
    assert allowed(BOTH, f"Bearer {token(USER)}")
    assert allowed(BOTH, f"Bearer {token(USER, RSA_KEY, 'RS256')}")
    assert not allowed(BOTH, f"Bearer {KEY}")


def test_a_cached_token_expires() -> None:
    credentials = Credentials.of(SECRET, None, [])
    header = [f"Bearer {token(USER)}".encode()]
    assert [credentials.identity(header, NOW_S + later) is not None for later in (0, 59.9, 60, 0, 61)] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_more_tokens_than_the_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.middleware.auth.CACHED_TOKENS_MAX", 3)
    credentials = Credentials.of(SECRET, None, [])
    for n in range(20):
        assert allowed(credentials, f"Bearer {token({**USER, 'actor_id': f'user_{n % 5}'})}")
        assert not allowed(credentials, f"Bearer {token({**USER, 'actor_type': 'customer'})}")


def test_a_short_secret_works_as_it_does_in_medusa() -> None:
    credentials = Credentials.of("supersecret", None, [])
    assert allowed(credentials, f"Bearer {raw_token({'alg': 'HS256', 'typ': 'JWT'}, USER, b'supersecret')}")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iss": "https://issuer", "aud": "order-groups"}, True),
        ({"iss": "https://issuer", "aud": ["others", "order-groups"]}, True),
        ({"iss": "https://issuer", "aud": ["others"]}, False),
        ({"iss": "https://issuer", "aud": []}, False),
        ({"iss": "https://issuer", "aud": "order-groups-2"}, False),
        ({"iss": "https://issuer", "aud": {"order-groups": 1}}, False),
        ({"iss": "https://issuer", "aud": None}, False),
        ({"iss": "https://issuer"}, False),
        ({"iss": "https://issuer/", "aud": "order-groups"}, False),
        ({"iss": ["https://issuer"], "aud": "order-groups"}, False),
        ({"iss": None, "aud": "order-groups"}, False),
        ({"aud": "order-groups"}, False),
    ],
)
def test_issuer_and_audience_are_demanded_of_every_key(claims: dict[str, Any], expected: bool) -> None:
    credentials = Credentials.of(SECRET, pem(RSA_KEY), [KEY_HASH], Demands("https://issuer", "order-groups"))
    assert allowed(credentials, f"Bearer {raw_token({'alg': 'HS256'}, {**USER, **claims})}") is expected
    body = json.dumps({**USER, **claims}).encode()
    assert allowed(credentials, f"Bearer {jwt.PyJWS().encode(body, RSA_KEY, 'RS256')}") is expected
    assert allowed(credentials, f"Bearer {KEY}"), "an API key says nothing"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL, API_KEY_HASHES or OPERATOR_KEY_HASHES"),
        ({"jwks_url": "https://issuer/keys"}, "JWKS_URL"),
        ({"jwks_url": "https://issuer/keys", "jwt_issuer": "https://issuer"}, "JWKS_URL"),
        ({"jwks_url": "https://issuer/keys", "jwt_audience": "order-groups"}, "JWKS_URL"),
        ({"jwks_url": "file:///etc/keys", "jwt_issuer": "i", "jwt_audience": "a"}, "JWKS_URL"),
        ({"jwks_url": "issuer/keys", "jwt_issuer": "i", "jwt_audience": "a"}, "JWKS_URL"),
        ({"jwt_secret": ""}, "JWT_SECRET"),
        ({"jwt_secret": pem(RSA_KEY)}, "JWT_SECRET"),
        ({"jwt_public_key": ""}, "JWT_PUBLIC_KEY"),
        ({"jwt_public_key": "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"}, "JWT_PUBLIC_KEY"),
        ({"jwt_public_key": pem(ec.generate_private_key(ec.SECP384R1()))}, "JWT_PUBLIC_KEY"),
        ({"jwt_public_key": pem(ed25519.Ed25519PrivateKey.generate())}, "JWT_PUBLIC_KEY"),
        ({"jwt_public_key": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))}, "JWT_PUBLIC_KEY"),
        ({"api_key_hashes": ("abc",)}, "API_KEY_HASHES"),
        ({"api_key_hashes": (KEY,)}, "API_KEY_HASHES"),
        ({"api_key_hashes": (KEY_HASH, "")}, "API_KEY_HASHES"),
        ({"jwt_secret": SECRET, "port": 65536}, "API_PORT"),
    ],
)
def test_settings_that_do_not_start(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiConfig(redis_url="redis://localhost", **settings)
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)
