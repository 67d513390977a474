"""The API with JWKS_URL: an issuer that is away at the start, and one that replaces its key."""

import random
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.seed import go_live, make_groups, write
from tests.issuer import AUDIENCE, ISSUER, issuing, jwk, rsa_key, signed
from tests.processes import START_S, Api
from tests.servers.process import free_port, wait_until

FIRST, SECOND = rsa_key(), rsa_key()
LIST = "/admin/order-groups"


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.thorough)])
def test_a_key_is_replaced(one_redis_url: str, tmp_path: Path, workers: str) -> None:
    """The issuer starts after the API, which is not ready until then; API keys and JWT_SECRET need no issuer."""
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(9), 20))
        go_live(client)
    port = free_port()
    settings = {"JWKS_URL": f"http://127.0.0.1:{port}/keys", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    with Api(tmp_path, one_redis_url, API_WORKERS=workers, **settings) as api:

        def status(token: str, path: str = LIST) -> int:
            return api.client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code

        answer = api.client.get(LIST, headers={"Authorization": f"Bearer {signed(FIRST, 'first')}"})
        assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (503, "unavailable", "1")
        assert "credentials" in answer.json()["message"]
        assert status(signed(FIRST, None)) == 401
        assert api.client.get("/health/ready").status_code == 503
        assert api.client.get("/health/live").status_code == 200
        with issuing(jwk(FIRST, kid="first"), port=port) as issuer:
            api.wait_until_ready()
            wait_until(lambda: status(signed(FIRST, "first")) == 200, START_S, "the first key to be known")
            assert status(signed(SECOND, "first")) == 401
            issuer.keys = [jwk(SECOND, kid="second")]
            wait_until(lambda: status(signed(SECOND, "second")) == 200, START_S, "the second key to be known")
            wait_until(lambda: status(signed(FIRST, "first")) == 401, START_S, "the first key to be forgotten")
        assert status(signed(SECOND, "second")) == 200
        assert api.client.get("/health/ready").status_code == 200
        metrics = api.client.get("/metrics", headers={"Authorization": f"Bearer {signed(SECOND, 'second')}"}).text
        assert float(metrics.split("\norder_groups_api_jwks_failures_total ")[1].split()[0]) >= 1
        assert 'order_groups_api_refused_total{reason="keys_unknown"}' in metrics
        assert api.text().count("JWKS_URL cannot be read") >= 1
