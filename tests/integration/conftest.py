"""What a test has of each kind of Redis, unless its module says otherwise."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.chaos.homes import ReadModelHome, RealHome, SimulatedHome
from tests.integration.client import Api, running
from tests.integration.seed import serve
from tests.servers.cluster import Place


@pytest.fixture
def client(any_redis: Place) -> "Iterator[Redis | RedisCluster]":
    with any_redis.client() as client:
        yield client


@pytest.fixture
def store(any_redis: Place) -> Iterator[Store]:
    store = Store(Nodes(any_redis.url))
    yield store
    store.nodes.close()


@pytest.fixture
def redis(request: pytest.FixtureRequest, redis_url: str) -> Iterator["Redis"]:
    """Serves the GROUPS of the module."""
    with Redis.from_url(redis_url) as client:
        serve(client, request.module.GROUPS)
        yield client


@pytest.fixture
def api(redis: "Redis", redis_url: str) -> Iterator[Api]:
    with running(redis_url) as api:
        yield api


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are counted: the text that `q` searches is read once, and not looked after by itself."""
    monkeypatch.setattr("projector.readmodel.query.mirror.mirrors.PAUSE_S", 3600.0)


@pytest.fixture(params=["redis", "simulated"])
def home(request: pytest.FixtureRequest, redis_url: str) -> Iterator[ReadModelHome]:
    home: ReadModelHome = RealHome(redis_url) if request.param == "redis" else SimulatedHome()
    yield home
    home.close()
