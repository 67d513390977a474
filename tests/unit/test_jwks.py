"""Keys that an issuer publishes on a real server: which are used, when they are read, and when the issuer is away."""

import asyncio
import json
from typing import Any

import pytest

from api.middleware import jwks
from api.middleware.auth import Credentials
from api.middleware.jwks import KeysUnknown, kept
from api.middleware.tokens import Demands
from tests.issuer import AUDIENCE, FUTURE, ISSUER, Issuer, PrivateKey, ec_key, issuing, jwk, rsa_key, signed
from tests.servers.process import free_port

FIRST, SECOND, EC, SHORT = rsa_key(), rsa_key(), ec_key(), rsa_key(1024)
NOW_S = FUTURE - 100.0


def credentials(url: str) -> Credentials:
    return Credentials.of("a secret", None, [], Demands(ISSUER, AUDIENCE), url)


async def allowed(found: Credentials, token: str) -> bool:
    """As the gate does. Raises KeysUnknown."""
    header = [f"Bearer {token}".encode()]
    return bool(found.identity(header, NOW_S) or (await found.learn_key(header) and found.identity(header, NOW_S)))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every unknown key causes a reading."""
    monkeypatch.setattr(jwks, "PAUSE_S", 0.0)


def test_a_token_of_a_published_key_is_valid() -> None:
    async def run() -> list[bool]:
        with issuing(jwk(FIRST, kid="1"), jwk(EC, kid="2", use="sig", alg="ES256")) as issuer:
            found = credentials(issuer.url)
            return [
                await allowed(found, token)
                for token in (
                    signed(FIRST, "1"),
                    signed(EC, "2"),
                    signed(FIRST, "1", aud=["x", AUDIENCE]),
                    signed(SECOND, "1"),
                    signed(EC, "1"),
                    signed(FIRST, "2"),
                    signed(FIRST, None),
                    signed(FIRST, "3"),
                    signed(FIRST, "1", "RS512"),
                    signed(FIRST, "1", "PS256"),
                    signed(FIRST, "1", iss="https://other"),
                    signed(FIRST, "1", aud="other"),
                    signed(FIRST, "1", exp=NOW_S),
                    signed(FIRST, "1", actor_type="customer"),
                )
            ]

    assert asyncio.run(run()) == [True] * 3 + [False] * 11


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
@pytest.mark.parametrize(
    ("key", "members"),
    [
        (FIRST, {"use": "enc"}),
        (FIRST, {"alg": "RS512"}),
        (FIRST, {"alg": "PS256"}),
        (FIRST, {"n": "!"}),
        (SHORT, {}),
        (EC, {"crv": "P-384"}),
        (EC, {"alg": "RS256"}),
    ],
)
def test_a_key_for_something_else_is_passed_over(key: PrivateKey, members: dict[str, object], eager: None) -> None:
    async def run() -> tuple[bool, bool]:
        with issuing(jwk(key, kid="odd", **members), {"kty": "oct", "kid": "o", "k": "c2VjcmV0"}) as issuer:
            issuer.keys.append(jwk(SECOND, kid="good"))
            found = credentials(issuer.url)
            return await allowed(found, signed(SECOND, "good")), await allowed(found, signed(key, "odd"))

    assert asyncio.run(run()) == (True, False)


def test_a_new_key_is_learned_and_a_withdrawn_one_forgotten(eager: None) -> None:
    async def run() -> None:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            found, old, new = credentials(issuer.url), signed(FIRST, "1"), signed(SECOND, "2")
            assert await allowed(found, old)
            assert not await allowed(found, new)
            issuer.keys = [jwk(FIRST, kid="1"), jwk(SECOND, kid="2")]
            assert await allowed(found, new)
            assert await allowed(found, old)
            issuer.keys = [jwk(SECOND, kid="2")]
            assert not await allowed(found, signed(FIRST, "3")), "an unknown key, so that they are read again"
            assert not await allowed(found, old), "also from the cache of tokens"
            assert await allowed(found, new)
            issuer.keys = [jwk(FIRST, kid="2")]
            assert not await allowed(found, signed(FIRST, "3"))
            assert not await allowed(found, new), "another key under the same name"
            assert await allowed(found, signed(FIRST, "2"))

    asyncio.run(run())


def test_unknown_keys_cause_one_reading_in_a_while() -> None:
    async def run() -> tuple[list[bool], int]:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            found = credentials(issuer.url)
            answers = [await allowed(found, signed(FIRST, f"unknown {n}")) for n in range(20)]
            return answers, issuer.readings

    assert asyncio.run(run()) == ([False] * 20, 1)


def test_requests_at_once_share_a_reading_and_the_loop_goes_on() -> None:
    async def run() -> None:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            issuer.may_answer.clear()
            found = credentials(issuer.url)
            asked = [asyncio.create_task(allowed(found, signed(FIRST, "1", actor_id=f"u{n}"))) for n in range(20)]
            while not issuer.readings:
                await asyncio.sleep(0)
            assert not any(task.done() for task in asked), "the loop runs while the issuer is silent"
            issuer.may_answer.set()
            assert await asyncio.gather(*asked) == [True] * 20
            assert issuer.readings == 1

    asyncio.run(run())


def test_tokens_that_no_issuer_signed_cause_no_reading() -> None:
    async def run() -> int:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            found = credentials(issuer.url)
            for token in (
                *("x", "a.b.c", "..", "é.é.é", signed(FIRST, None), signed(FIRST, ""), signed(FIRST, "1", "RS512")),
                "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.e30.x",  # {"alg":"HS256","kid":"1"}
                "eyJhbGciOiJSUzI1NiIsImtpZCI6MX0.e30.x",  # {"alg":"RS256","kid":1}
            ):
                assert not await allowed(found, token)
            return issuer.readings

    assert asyncio.run(run()) == 0


def broken(issuer: Issuer, how: str) -> None:
    issuer.status = 503 if how == "status" else 200
    odd = json.dumps({"keys": [jwk(FIRST, kid="1", alg=["RS256"])]}).encode()
    bodies = {"no JSON": b"<html>", "no object": b"[]", "no keys": b'{"keys":[]}', "an odd key": odd}
    issuer.body = bodies.get(how, b"{}")


@pytest.mark.parametrize("how", ["status", "no JSON", "no object", "no keys", "nothing", "an odd key"])
def test_while_the_keys_cannot_be_read_the_last_ones_are_valid(how: str, eager: None) -> None:
    async def run() -> None:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            found = credentials(issuer.url)
            assert await allowed(found, signed(FIRST, "1"))
            broken(issuer, how)
            with pytest.raises(KeysUnknown):
                await allowed(found, signed(SECOND, "2"))
            assert await allowed(found, signed(FIRST, "1", actor_id="not in the cache"))
            assert not await allowed(found, signed(SECOND, "1")), "of a known key there is no doubt"
            issuer.status, issuer.body, issuer.keys = 200, None, [jwk(SECOND, kid="2")]
            assert await allowed(found, signed(SECOND, "2"))

    asyncio.run(run())


def test_before_the_first_reading_nothing_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.05)

    async def run() -> None:
        found = credentials(f"http://127.0.0.1:{free_port()}/keys")
        with pytest.raises(KeysUnknown):
            await allowed(found, signed(FIRST, "1"))
        with issuing(jwk(FIRST, kid="1")) as issuer:
            issuer.may_answer.clear()
            found = credentials(issuer.url)
            with pytest.raises(KeysUnknown):
                await allowed(found, signed(FIRST, "1"))

    asyncio.run(run())


def test_the_keys_are_read_regularly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "EVERY_S", 0.01)
    monkeypatch.setattr(jwks, "PAUSE_S", 0.01)
    failures: list[Any] = []

    async def run() -> None:
        with issuing(jwk(FIRST, kid="1")) as issuer:
            found = credentials(issuer.url)
            keys = found.keys
            assert keys is not None
            assert not keys.is_known
            async with kept(keys, lambda: failures.append(1)):
                while keys.readings < 3:
                    await asyncio.sleep(0)
                assert keys.is_known
                assert failures == []
                issuer.status = 500
                while len(failures) < 3:
                    await asyncio.sleep(0)
                issuer.status, before = 200, keys.readings
                while keys.readings == before:
                    await asyncio.sleep(0)

    asyncio.run(run())
