"""An issuer of tokens: keys, and a server that publishes them as a JWKS."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER, AUDIENCE = "https://issuer.test", "order-groups"
FUTURE = 4_000_000_000
USER = {"iss": ISSUER, "aud": AUDIENCE, "actor_type": "user", "actor_id": "user_1", "exp": FUTURE}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def signed(key: PrivateKey, key_id: object = "1", algorithm: str = "", **claims: object) -> str:
    """`key_id` None: the token names no key."""
    header: dict[str, Any] = {} if key_id is None else {"kid": key_id}
    algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    return jwt.encode({**USER, **claims}, key, algorithm, headers=header)


def jwk(key: PrivateKey, **members: object) -> dict[str, object]:
    """RFC 7518, section 6; written by hand, since the API reads it by a library."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **members}
    point = public.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32), **members}


def _number(value: int, length: int = 0) -> str:
    octets = value.to_bytes(length or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Issuer:
    """`keys`: as served, to be replaced at any time. `body`: instead of them. `readings`: requests so far."""

    def __init__(self, port: int) -> None:
        self.keys: list[Mapping[str, object]] = []
        self.body: bytes | None = None
        self.status = 200
        self.readings = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.readings += 1
                issuer.may_answer.wait(30)
                body = json.dumps({"keys": issuer.keys}).encode() if issuer.body is None else issuer.body
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing: the output of tests is for what fails."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"


@contextmanager
def issuing(*keys: Mapping[str, object], port: int = 0) -> Iterator[Issuer]:
    """Publishes the keys on the port, or on a free one."""
    issuer = Issuer(port)
    issuer.keys = list(keys)
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.may_answer.set()
        issuer.server.shutdown()
        issuer.server.server_close()
        thread.join()
