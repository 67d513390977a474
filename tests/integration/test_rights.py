"""The permissions in docs/ops.md are all that the API needs in Redis."""

import random
import re
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.integration.client import BEARER, running
from tests.integration.naive import answer
from tests.integration.queries import query_string, random_request, shown_as_json
from tests.integration.seed import make_groups, serve
from tests.integration.ways import WAYS, force

OPERATIONS = (Path(__file__).parents[2] / "docs" / "ops.md").read_text(encoding="utf-8")
GROUPS = make_groups(random.Random(7), 500)


@pytest.mark.parametrize("way", WAYS)
def test_lists(redis_url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **WAYS[way])
    told = OPERATIONS[OPERATIONS.index("Redis user needs") : OPERATIONS.index("These writes reach")]
    rights = re.findall(r"[+][@a-z]+", told)
    assert "+copy" in rights
    with Redis.from_url(redis_url) as client:
        serve(client, GROUPS)
        client.execute_command(
            "ACL", "SETUSER", "api", "reset", "on", ">secret", "~og:*", "~{og:live}:*", "&*", *rights
        )
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


def test_operators(redis_url: str) -> None:
    """The API may append requests of actions, and cannot answer them."""
    told = OPERATIONS[OPERATIONS.index("Redis user needs") : OPERATIONS.index("These writes reach")]
    (selector,) = re.findall(r"`(\([+]xadd .*?\))`", OPERATIONS)
    with Redis.from_url(redis_url) as client:
        serve(client, GROUPS)
        rights = [*re.findall(r"[+][@a-z]+", told), "~og:*", "%R~{og:live}:*", "&*", selector]
        client.execute_command("ACL", "SETUSER", "api", "reset", "on", ">secret", *rights)
        client.xadd("{og:live}:other", {"a": "b"})
        try:
            url = redis_url.replace("//", "//api:secret@")
            settings = {"operator_actor_ids": ("user_1",)}
            with running(url, **settings) as api, Redis.from_url(url) as as_api:
                for path in ("pipeline", "parked", "actions"):
                    assert api.get(f"/admin/projector/{path}").status_code == 200
                body = {"action": "drop", "arguments": {"number": 1}, "dry_run": True}
                posted = api.run(api.client.post("/admin/projector/actions", json=body, headers=BEARER))
                assert posted.status_code == 202, posted.text
                for key in ("{og:live}:actions", "{og:live}:other", "og:{0.0}:row"):
                    with pytest.raises(NoPermissionError):
                        as_api.xadd(key, {"a": "b"})
                with pytest.raises(NoPermissionError):
                    as_api.hset("{og:live}:actions", "a", "b")
        finally:
            client.execute_command("ACL", "DELUSER", "api")
