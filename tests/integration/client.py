"""The API in this process, without a socket."""

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import jwt

from api.app import create_app
from api.config import ApiConfig
from tests.servers.process import wait_until

SECRET = "a secret of the tests, long enough for HS256"
TOKEN = jwt.encode({"actor_id": "user_1", "actor_type": "user", "exp": 4_000_000_000}, SECRET, "HS256")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
T = TypeVar("T")
TRIES_MAX = 10


class Api:
    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self.client = client

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        sent = BEARER if headers is None else headers
        return self.run(self.client.request(method, path, headers=dict(sent)))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)

    def wait_until_ready(self) -> None:
        """Waits for the text that `q` searches, too."""
        wait_until(lambda: self.get("/health/ready", {}).status_code == 200, 10, "the API to be ready")

    def list(self, query: str) -> Any:
        """Returns the body of a 200, with exact decimals. Tries again as `listed`."""
        return json.loads(self.listed(query).content, parse_float=Decimal)

    def listed(self, query: str) -> httpx.Response:
        """Returns a 200. Tries again while the text that `q` searches cannot be read.

        Between requests the loop stands still, and so does the reading of the text, which may then run into a time-out.
        """
        response = self.get(f"/admin/order-groups?{query}")
        for _ in range(TRIES_MAX):
            if response.status_code != 503 or "q=" not in query:
                break
            response = self.get(f"/admin/order-groups?{query}")
        assert response.status_code == 200, response.text
        return response


@contextmanager
def running(redis_url: str, **settings: Any) -> Iterator[Api]:
    app = create_app(ApiConfig(redis_url=redis_url, jwt_secret=SECRET, **settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        client = httpx.AsyncClient(transport=transport, base_url="http://api")
        try:
            yield Api(runner, client)
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))
