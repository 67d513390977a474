"""Admission of lists by their cost, on a real server, while Redis does not answer."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.integration.seed import go_live, make_groups, write
from tests.integration.test_bounds import metric
from tests.processes import Api, token
from tests.servers.process import wait_until

LIST = "/admin/order-groups"
# Costs as much as a client may have in progress.
EXPENSIVE = LIST + "?limit=1000&fields=*orders"
PAUSE_MS = 3000
SOON_S = 20.0


@pytest.fixture
def redis(one_redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(one_redis_url) as client:
        write(client, make_groups(random.Random(1), 30))
        go_live(client)
        yield client
        client.client_unpause()


@contextmanager
def paused(redis: "Redis") -> Iterator[None]:
    """Meanwhile lists that are in progress stay so, for 0.9 s each."""
    redis.client_pause(PAUSE_MS)
    yield
    redis.client_unpause()


class Clients:
    """Sends requests of users, each on a connection of its own."""

    def __init__(self, api: Api, pool: ThreadPoolExecutor) -> None:
        self._base = api.client.base_url
        self._pool = pool

    def ask(self, user: str, path: str) -> "Future[httpx.Response]":
        headers = {"Authorization": f"Bearer {token(actor_id=user)}"}
        return self._pool.submit(lambda: httpx.get(self._base.join(path), headers=headers, timeout=30))


@contextmanager
def serving(folder: Path, url: str, **settings: str) -> Iterator[tuple[Api, Clients]]:
    with Api(folder, url, LOG_FORMAT="json", **settings) as api, ThreadPoolExecutor(20) as pool:
        assert api.client.get(LIST).status_code == 200
        yield api, Clients(api, pool)
        assert "Traceback" not in api.text()


def test_a_client_beyond_its_share_gets_429(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, one_redis_url) as (api, clients):
        with paused(redis):
            first = clients.ask("one", EXPENSIVE)
            wait_until(lambda: metric(api, "order_groups_api_work") == 16, SOON_S, "the first list in progress")
            others = [clients.ask("one", EXPENSIVE) for _ in range(2)]
            wait_until(lambda: metric(api, "order_groups_api_work_waiting") == 2, SOON_S, "the others to wait")
            plain = clients.ask("two", LIST)
            # Another client's is in progress at once: only Redis keeps it.
            wait_until(lambda: metric(api, "order_groups_api_work") == 17, SOON_S, "another client's list in progress")
            answers = [one.result() for one in (first, *others)]
            assert plain.result().json()["message"].startswith("The order groups cannot be read")
        assert [answer.status_code for answer in answers].count(429) == 1
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["Retry-After"] == "1"
        assert refused.json() == {
            "type": "too_many_requests",
            "message": "Too much of your work is in progress. Try again.",
        }
        assert metric(api, 'order_groups_api_refused_total{reason="client_work"}') == 1
        assert '"refused":"client_work"' in api.text()
        assert clients.ask("one", EXPENSIVE).result().status_code == 200
        wait_until(lambda: metric(api, "order_groups_api_work") == 0, SOON_S, "no work in progress")


@pytest.mark.parametrize(
    ("path", "cost"),
    [("?limit=0&facets=status:all&sums=total", 12), ("/export", 4), ("/histogram?by=created_at:day", 16)],
)
def test_what_reads_all_groups_is_admitted_by_its_cost(
    redis: "Redis", one_redis_url: str, tmp_path: Path, path: str, cost: int
) -> None:
    with serving(tmp_path, one_redis_url) as (api, clients):
        with paused(redis):
            asked = clients.ask("one", LIST + path)
            wait_until(lambda: metric(api, "order_groups_api_work") == cost, SOON_S, "the work in progress")
        asked.result()
        wait_until(lambda: metric(api, "order_groups_api_work") == 0, SOON_S, "no work in progress")


def test_an_export_beyond_the_share_of_its_client_gets_429(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, one_redis_url) as (api, clients), paused(redis):
        clients.ask("one", EXPENSIVE)
        wait_until(lambda: metric(api, "order_groups_api_work") == 16, SOON_S, "the first list in progress")
        clients.ask("one", EXPENSIVE)
        wait_until(lambda: metric(api, "order_groups_api_work_waiting") == 1, SOON_S, "the second to wait")
        refused = clients.ask("one", LIST + "/export").result()
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")


def test_all_clients_beyond_the_maximum_get_503(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, one_redis_url, API_WORK_MAX="16") as (api, clients):
        with paused(redis):
            asked = [clients.ask("one", EXPENSIVE)]
            wait_until(lambda: metric(api, "order_groups_api_work") == 16, SOON_S, "the first list in progress")
            asked += [clients.ask(user, EXPENSIVE) for user in ("two", "three")]
            answers = [one.result() for one in asked]
        assert {answer.status_code for answer in answers} == {503}
        assert metric(api, 'order_groups_api_refused_total{reason="work"}') == 1
        assert metric(api, "order_groups_api_work_waiting") == 0


def test_a_burst_of_plain_lists_of_one_client_is_answered(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    """More at once than are admitted: they wait for a moment."""
    assert redis.ping()
    with serving(tmp_path, one_redis_url, API_WORK_PER_CLIENT_MAX="2") as (_, clients):
        answers = [clients.ask("one", LIST + f"?offset={n}") for n in range(60)]
        assert Counter(answer.result().status_code for answer in answers) == {200: 60}


def test_api_keys_and_users_are_different_clients(redis: "Redis", one_redis_url: str, tmp_path: Path) -> None:
    """A user may have any id, such as one that looks like a key's."""
    hashes = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # Of `foo`.
    with serving(tmp_path, one_redis_url, API_KEY_HASHES=hashes) as (api, clients), paused(redis):
        one = clients.ask("key 0", EXPENSIVE)
        wait_until(lambda: metric(api, "order_groups_api_work") == 16, SOON_S, "a user's list in progress")
        with ThreadPoolExecutor(1) as pool:
            key = pool.submit(
                lambda: httpx.get(
                    api.client.base_url.join(EXPENSIVE), headers={"Authorization": "Bearer foo"}, timeout=30
                )
            )
            wait_until(lambda: metric(api, "order_groups_api_work") == 32, SOON_S, "a key's list in progress")
            assert {one.result().status_code, key.result().status_code} == {503}
