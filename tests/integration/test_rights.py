"""The permissions in docs/ops.md are all that the API needs in Redis."""

import random
import re
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.client import running
from tests.integration.naive import answer
from tests.integration.queries import query_string, random_request, shown_as_json
from tests.integration.seed import make_groups, serve
from tests.integration.shop import force
from tests.integration.test_list import WAYS

OPERATIONS = (Path(__file__).parents[2] / "docs" / "ops.md").read_text(encoding="utf-8")
GROUPS = make_groups(random.Random(7), 500)


@pytest.mark.parametrize("way", WAYS)
def test_lists(redis_url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **WAYS[way])
    told = OPERATIONS[OPERATIONS.index("Redis user needs") : OPERATIONS.index("These writes reach")]
    rights = re.findall(r"[+][@a-z]+", told)
    assert "+sadd" in rights
    with Redis.from_url(redis_url) as client:
        serve(client, GROUPS)
        client.execute_command("ACL", "SETUSER", "api", "reset", "on", ">secret", "~og:*", "&*", *rights)
        try:
            with running(redis_url.replace("//", "//api:secret@")) as api:
                rng = random.Random(3)
                for _ in range(20):
                    request = random_request(rng, GROUPS)
                    query = query_string(rng, request)
                    assert api.list(query) == shown_as_json(answer(GROUPS, request)), query
                assert api.get("/metrics").status_code == 200
        finally:
            client.execute_command("ACL", "DELUSER", "api")
