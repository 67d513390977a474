"""Answers of the API to random requests of a fixed seed, kept in a file: whatever is moved or renamed, they stay.

    python -m tests.corpus REDIS_URL > tests/corpus/answers.tsv     writes them anew; Redis is emptied

A line: shards, way, number of the request, count, the first 16 hex digits of the body's SHA-256,
X-Projection-Position. Each answer is that of naive.py.
The groups are those of tests/integration/seed.py, which knows neither the projector nor the API.
"""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.client import running
from tests.integration.naive import answer
from tests.integration.queries import query_string, random_request, shown_as_json
from tests.integration.seed import go_live, make_groups, write
from tests.integration.ways import WAYS, force

ANSWERS = Path(__file__).with_name("answers.tsv")
GROUPS = make_groups(random.Random(20261201), 600)
SHARDS = (1, 3, 16)
# For each number of shards, in each way.
REQUESTS = 30


def answers(redis_url: str) -> Iterator[tuple[str, str]]:
    """Yields the lines of the file, as they are now, each with its query. Redis is emptied."""
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
                    request = random_request(rng, GROUPS)
                    query = query_string(rng, request)
                    found = api.listed(query)
                    wanted = answer(GROUPS, request, shards)
                    assert json.loads(found.content, parse_float=Decimal) == shown_as_json(wanted), query
                    digest = sha256(found.content).hexdigest()[:16]
                    position = found.headers["X-Projection-Position"]
                    yield "\t".join(map(str, (shards, way, number, wanted["count"], digest, position))), query
