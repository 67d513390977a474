"""The estimate of a generation's memory."""

from contextlib import closing
from typing import Any

import pytest
import redis

from projector.store import memory
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.integration.committing import commit
from tests.poison import event


def test_slices_count(redis_url: str) -> None:
    with closing(Nodes(redis_url)) as nodes, redis.Redis.from_url(redis_url) as client:
        store = Store(nodes)
        generation = store.generation()
        commit(store, generation, [event(number) for number in range(300)], None)
        slices: Any = client.keys("og:{0.0}:bits:by:*")
        size = sum(client.memory_usage(key) or 0 for key in slices)
        before = memory.used(nodes, generation)
        client.delete(*slices)
        lost = before - memory.used(nodes, generation)
        assert lost == {"bitmaps": pytest.approx(size, rel=0.1)}


def test_few_large_values_among_many_small_ones(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SAMPLE_KEYS", 50)
    with closing(Nodes(redis_url)) as nodes, redis.Redis.from_url(redis_url) as client:
        store = Store(nodes)
        generation = store.generation()
        events = [event(number, customer_id=f"cus_{number}") for number in range(6000)]
        for start in range(0, len(events), 500):
            commit(store, generation, events[start : start + 500], start or None)
        kept: Any = client.keys("og:{0.0}:*")
        size = sum(client.memory_usage(key, samples=0) or 0 for key in kept)
        # The sets of customers are estimated by some of them, and equal.
        assert memory.used(nodes, generation).total() == pytest.approx(size, rel=0.1)
