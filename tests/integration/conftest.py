"""What a test has of each kind of Redis, unless its module says otherwise."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from projector.store.nodes import Nodes
from projector.store.redis import Store
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
