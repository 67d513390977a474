"""What a client may send as `Authorization`, under four configurations: what is let in, and what is not."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.processes import SECRET

KEY = "sk_0123456789abcdef"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
FUTURE = 4_000_000_000
USER: dict[str, Any] = {"actor_id": "user_1", "actor_type": "user", "exp": FUTURE}


def public(key: Any, encoding: Encoding = Encoding.PEM) -> bytes:
    found: bytes = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return found


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_hand(header: object, claims: object, key: bytes, digest: str = "sha256") -> str:
    """Signed with HMAC, whatever the header says."""
    signed = segment(json.dumps(header).encode()) + "." + segment(json.dumps(claims).encode())
    return signed + "." + segment(hmac.digest(key, signed.encode(), digest))


def hs256(key: str = SECRET, **claims: Any) -> str:
    return by_hand({"alg": "HS256", "typ": "JWT"}, {**USER, **claims}, key.encode())


def without(name: str) -> str:
    return by_hand({"alg": "HS256"}, {key: value for key, value in USER.items() if key != name}, SECRET.encode())


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD = hs256()
RS256, ES256 = jwt.encode(USER, RSA_KEY, "RS256"), jwt.encode(USER, EC_KEY, "ES256")
PAST = int(time.time()) - 1
NONE = segment(b'{"alg":"none"}') + "." + segment(json.dumps(USER).encode()) + "."

# Settings of the API, by the name of their tables.
CONFIGURED: dict[str, dict[str, str]] = {
    "secret": {"API_KEY_HASHES": KEY_HASH},
    "rsa": {"JWT_SECRET": "", "JWT_PUBLIC_KEY": public(RSA_KEY).decode()},
    "ec": {"JWT_SECRET": "", "JWT_PUBLIC_KEY": public(EC_KEY).decode()},
    "both": {"JWT_PUBLIC_KEY": public(RSA_KEY).decode(), "API_KEY_HASHES": KEY_HASH},
}

# name -> lines of the header `Authorization`
GOOD_SHAPES: dict[str, dict[str, list[str]]] = {
    "secret": {
        "bearer": [f"Bearer {GOOD}"],
        "lower case": [f"bearer {GOOD}"],
        "upper case": [f"BEARER {GOOD}"],
        "mixed case": [f"bEaReR {GOOD}"],
        "spaces": [f"  Bearer   {GOOD}  "],
        "a tab": [f"Bearer\t{GOOD}"],
        "no exp": [f"Bearer {without('exp')}"],
        "nbf passed": [f"Bearer {hs256(nbf=PAST)}"],
        "unicode actor": [f"Bearer {hs256(actor_id='üser 日本')}"],
        "api key": [f"Bearer {KEY}"],
        "api key, basic": [f"Basic {basic(KEY + ':')}"],
        "api key, basic without a colon": [f"basic {basic(KEY)}"],
        "api key, basic as it is": [f"BASIC {KEY}"],
    },
    "rsa": {"RS256": [f"Bearer {RS256}"]},
    "ec": {"ES256": [f"Bearer {ES256}"]},
    "both": {"HS256": [f"Bearer {GOOD}"], "RS256": [f"Bearer {RS256}"], "api key": [f"Bearer {KEY}"]},
}
BAD_SHAPES: dict[str, dict[str, list[str]]] = {
    "secret": {
        "none": [],
        "empty": [""],
        "a blank": [" "],
        "the scheme alone": ["Bearer"],
        "the scheme and a blank": ["Bearer "],
        "no scheme": [GOOD],
        "two headers": [f"Bearer {GOOD}", f"Bearer {GOOD}"],
        "two headers, the second bad": [f"Bearer {GOOD}", "Bearer x"],
        "two headers, the first bad": ["Bearer x", f"Bearer {GOOD}"],
        "two headers, one empty": [f"Bearer {GOOD}", ""],
        "two in one": [f"Bearer {GOOD}, Bearer {GOOD}"],
        "three words": [f"Bearer {GOOD} x"],
        "a comma for the blank": [f"Bearer,{GOOD}"],
        "a colon": [f"Bearer: {GOOD}"],
        "a no-break space": [f"Bearer\u00a0{GOOD}"],
        "Token": [f"Token {GOOD}"],
        "Digest": [f"Digest {KEY}"],
        "Negotiate": [f"Negotiate {GOOD}"],
        "JWT as Basic": [f"Basic {GOOD}"],
        "JWT as a Basic user": [f"Basic {basic(GOOD + ':')}"],
        "alg none": [f"Bearer {NONE}"],
        "alg none without a last dot": [f"Bearer {NONE[:-1]}"],
        "alg None, signed": [f"Bearer {by_hand({'alg': 'None'}, USER, SECRET.encode())}"],
        "alg nOnE, unsigned": [f"Bearer {NONE.replace(segment(b'none'), segment(b'nOnE'))}x"],
        "alg missing": [f"Bearer {by_hand({}, USER, SECRET.encode())}"],
        "alg null": [f"Bearer {by_hand({'alg': None}, USER, SECRET.encode())}"],
        "alg a list": [f"Bearer {by_hand({'alg': ['HS256']}, USER, SECRET.encode())}"],
        "alg in lower case": [f"Bearer {by_hand({'alg': 'hs256'}, USER, SECRET.encode())}"],
        "alg HS384": [f"Bearer {by_hand({'alg': 'HS384'}, USER, SECRET.encode(), 'sha384')}"],
        "alg HS512": [f"Bearer {by_hand({'alg': 'HS512'}, USER, SECRET.encode(), 'sha512')}"],
        "alg RS256, signed with the secret": [f"Bearer {by_hand({'alg': 'RS256'}, USER, SECRET.encode())}"],
        "another secret": [f"Bearer {hs256('another-secret-of-32-characters!!!!!')}"],
        "an empty secret": [f"Bearer {hs256('')}"],
        "the key's hash as the secret": [f"Bearer {hs256(KEY_HASH)}"],
        "jwk of its own": [
            f"Bearer {by_hand({'alg': 'HS256', 'jwk': {'kty': 'oct', 'k': segment(b'mine')}}, USER, b'mine')}"
        ],
        "kid of a file": [f"Bearer {by_hand({'alg': 'HS256', 'kid': '/dev/null'}, USER, b'')}"],
        "crit": [f"Bearer {by_hand({'alg': 'HS256', 'crit': ['x'], 'x': 1}, USER, SECRET.encode())}"],
        "expired": [f"Bearer {hs256(exp=PAST)}"],
        "expired long ago": [f"Bearer {hs256(exp=0)}"],
        "exp negative": [f"Bearer {hs256(exp=-1)}"],
        "exp a text": [f"Bearer {hs256(exp=str(FUTURE))}"],
        "exp null": [f"Bearer {hs256(exp=None)}"],
        "exp a list": [f"Bearer {hs256(exp=[FUTURE])}"],
        "exp true": [f"Bearer {hs256(exp=True)}"],
        "nbf in the future": [f"Bearer {hs256(nbf=FUTURE - 1)}"],
        "nbf a text": [f"Bearer {hs256(nbf='0')}"],
        "actor_type customer": [f"Bearer {hs256(actor_type='customer')}"],
        "actor_type in upper case": [f"Bearer {hs256(actor_type='USER')}"],
        "actor_type with a NUL": [f"Bearer {hs256(actor_type='user' + chr(0))}"],
        "actor_type in Cyrillic": [f"Bearer {hs256(actor_type='us' + chr(0x435) + 'r')}"],
        "actor_type a list": [f"Bearer {hs256(actor_type=['user'])}"],
        "actor_type null": [f"Bearer {hs256(actor_type=None)}"],
        "actor_type missing": [f"Bearer {without('actor_type')}"],
        "actor_id empty": [f"Bearer {hs256(actor_id='')}"],
        "actor_id missing": [f"Bearer {without('actor_id')}"],
        "actor_id null": [f"Bearer {hs256(actor_id=None)}"],
        "actor_id a number": [f"Bearer {hs256(actor_id=1)}"],
        "actor_id an object": [f"Bearer {hs256(actor_id={'id': 'user_1'})}"],
        "claims a list": [f"Bearer {by_hand({'alg': 'HS256'}, [USER], SECRET.encode())}"],
        "claims a text": [f"Bearer {by_hand({'alg': 'HS256'}, 'user', SECRET.encode())}"],
        "claims deep": [f"Bearer {by_hand({'alg': 'HS256'}, json.loads('[' * 500 + ']' * 500), SECRET.encode())}"],
        "truncated": [f"Bearer {GOOD[:-1]}"],
        "truncated to two parts": [f"Bearer {GOOD.rsplit('.', 1)[0]}"],
        "without a signature": [f"Bearer {GOOD.rsplit('.', 1)[0]}."],
        "one more part": [f"Bearer {GOOD}.x"],
        "one more letter": [f"Bearer {GOOD}A"],
        "padded": [f"Bearer {GOOD}=="],
        "dots": ["Bearer .."],
        "not base64": ["Bearer !.!.!"],
        "unicode": ["Bearer é.é.é"],
        "quoted": [f'Bearer "{GOOD}"'],
        "huge": ["Bearer " + "a" * 50_000],
        "huge with dots": ["Bearer " + "a." * 25_000],
        "a key too long": [f"Bearer {KEY}x"],
        "a key too short": [f"Bearer {KEY[:-1]}"],
        "a key in upper case": [f"Bearer {KEY.upper()}"],
        "the hash itself": [f"Bearer {KEY_HASH}"],
        "the hash itself, basic": [f"Basic {basic(KEY_HASH + ':')}"],
        "the hash's bytes": [f"Basic {base64.b64encode(bytes.fromhex(KEY_HASH)).decode()}"],
        "basic, key as password": [f"Basic {basic(':' + KEY)}"],
        "basic, user and key": [f"Basic {basic('admin:' + KEY)}"],
        "basic, key and password": [f"Basic {basic(KEY + ':password')}"],
        "basic, two colons": [f"Basic {basic(KEY + '::')}"],
        "basic, empty": ["Basic Og=="],
        "basic, nothing": ["Basic "],
        "basic, not base64": ["Basic !!!!"],
        "basic, no padding": [f"Basic {basic(KEY + ':').rstrip('=')}x"],
        "bearer of basic": [f"Bearer {basic(KEY + ':')}"],
        "RS256 of a stranger": [f"Bearer {RS256}"],
        "ES256 of a stranger": [f"Bearer {ES256}"],
    },
    "rsa": {
        "none": [],
        "alg none": [f"Bearer {NONE}"],
        "HS256 with the PEM": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(RSA_KEY))}"],
        "HS256 with the PEM, stripped": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(RSA_KEY).strip())}"],
        "HS256 with the DER": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(RSA_KEY, Encoding.DER))}"],
        "RS256 header, HMAC with the PEM": [f"Bearer {by_hand({'alg': 'RS256'}, USER, public(RSA_KEY))}"],
        "HS256 with the secret of others": [f"Bearer {GOOD}"],
        "another key": [f"Bearer {jwt.encode(USER, OTHER_RSA_KEY, 'RS256')}"],
        "RS512": [f"Bearer {jwt.encode(USER, RSA_KEY, 'RS512')}"],
        "PS256": [f"Bearer {jwt.encode(USER, RSA_KEY, 'PS256')}"],
        "ES256": [f"Bearer {ES256}"],
        "expired": [f"Bearer {jwt.encode({**USER, 'exp': PAST}, RSA_KEY, 'RS256')}"],
        "a customer": [f"Bearer {jwt.encode({**USER, 'actor_type': 'customer'}, RSA_KEY, 'RS256')}"],
        "an api key": [f"Bearer {KEY}"],
    },
    "ec": {
        "none": [],
        "HS256 with the PEM": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(EC_KEY))}"],
        "HS256 with the DER": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(EC_KEY, Encoding.DER))}"],
        "another key": [f"Bearer {jwt.encode(USER, OTHER_EC_KEY, 'ES256')}"],
        "RS256": [f"Bearer {RS256}"],
        "a signature of zeros": [f"Bearer {ES256.rsplit('.', 1)[0]}.{segment(bytes(64))}"],
        "a signature in DER": [f"Bearer {ES256.rsplit('.', 1)[0]}.{segment(EC_KEY.sign(b'x', ec.ECDSA(SHA256())))}"],
    },
    "both": {
        "HS256 with the PEM": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(RSA_KEY))}"],
        "HS256 with the DER": [f"Bearer {by_hand({'alg': 'HS256'}, USER, public(RSA_KEY, Encoding.DER))}"],
        "RS256 header, HMAC with the secret": [f"Bearer {by_hand({'alg': 'RS256'}, USER, SECRET.encode())}"],
        "another key": [f"Bearer {jwt.encode(USER, OTHER_RSA_KEY, 'RS256')}"],
    },
}
