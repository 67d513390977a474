"""Answers of the API to random requests of a fixed seed, kept in a file: whatever is moved or renamed, they stay.

    python -m tests.corpus REDIS_URL > tests/corpus/answers.tsv     writes them anew; Redis is emptied

A line: shards, way, number of the request, status, count, the first 16 hex digits of the body's SHA-256,
X-Projection-Position.
The groups are those of tests/integration/seed.py, which knows neither the projector nor the API.
"""

import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from tests.integration.client import running
from tests.integration.queries import query_string, random_request
from tests.integration.seed import go_live, make_groups, write
from tests.integration.shop import force
from tests.integration.test_list import WAYS

ANSWERS = Path(__file__).with_name("answers.tsv")
GROUPS = make_groups(random.Random(20261201), 600)
SHARDS = (1, 3, 16)
# For each number of shards, in each way.
REQUESTS = 25


def answers(redis_url: str) -> Iterator[tuple[str, str]]:
    """The lines of the file, as they are now, each with its query. Redis is emptied."""
    for shards in SHARDS:
        with Redis.from_url(redis_url) as client:
            client.flushdb()
            write(client, GROUPS, shards=shards)
            for shard in range(shards):
                client.hset(f"og:{{0.{shard}}}:position", "orders/0", 1000 + shard)
            go_live(client, shards=shards)
        for way, thresholds in WAYS.items():
            rng = random.Random(f"{shards} {way}")
            with pytest.MonkeyPatch.context() as patch, running(redis_url) as api:
                force(patch, **thresholds)
                for number in range(REQUESTS):
                    query = query_string(rng, random_request(rng, GROUPS))
                    while (answer := api.get(f"/admin/order-groups?{query}")).status_code == 503:
                        """On a busy machine."""
                    body: Any = msgspec.json.decode(answer.content)
                    digest = sha256(answer.content).hexdigest()[:16]
                    position = answer.headers.get("X-Projection-Position", "-")
                    found = (shards, way, number, answer.status_code, body.get("count", "-"), digest, position)
                    yield "\t".join(map(str, found)), query
