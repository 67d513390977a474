"""`kill -9` of relay, projector and PostgreSQL's backends while a marketplace changes: nothing is missed or doubled."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from events.sources.mapping import Mapping, load_mapping
from tests.chaos.survived import survived
from tests.conftest import without
from tests.processes import Api, Process, projector
from tests.servers.postgres import MISSING, PostgresServer, home
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import set_up
from tests.sources.mercur import SELLERS, TRANSITIONS, Mercur
from tests.thorough import thorough

# `make chaos` makes 300, during 20 000.
GIVEN = (int(os.environ.get("CHAOS_SOURCE_KILLS", 0)), int(os.environ.get("CHAOS_SOURCE_CHANGES", 0)))
KILLS_AND_CHANGES = [GIVEN] if all(GIVEN) else [(4, 100), *thorough((10, 300))]
RECOVERED_S = 60.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Writes through, unlike that of other tests: its backends are killed."""
    programs = home()
    if programs is None:
        without(MISSING)
        raise AssertionError("skipped or failed by now")
    with PostgresServer(programs, {"max_connections": "40"}) as server:
        yield server


class Changing:
    """A thread that makes random changes until `stop`. A change that fails may or may not have been committed."""

    def __init__(self, url: str, seed: int) -> None:
        self.changes = 0
        self._url = url
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Changing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(RECOVERED_S)

    def _run(self) -> None:
        known: dict[str, list[str]] = {}
        for number in range(1_000_000):
            with suppress(psycopg.OperationalError):
                shop = Mercur(self._url, f"{number}_")
                shop.groups = known
                try:
                    while not self._stopping.is_set():
                        self._change(shop)
                        known = shop.groups
                        self.changes += 1
                finally:
                    shop.close()
            if self._stopping.wait(0.05):
                return

    def _change(self, shop: Mercur) -> None:
        if not shop.groups or self._random.random() < 0.4:
            shop.checkout(self._random.sample(SELLERS, self._random.randint(1, 4)))
            return
        group = self._random.choice(list(shop.groups))
        transition = TRANSITIONS[self._random.choice(list(TRANSITIONS))]
        # A second fulfilment of one order has the id of the first.
        with suppress(psycopg.IntegrityError):
            transition(shop, group, self._random.choice(shop.groups[group]))


@pytest.mark.timeout(240 + 4 * max(GIVEN[0], 10) + max(GIVEN[1], 300) // 10)
@pytest.mark.parametrize(("kills", "changes"), KILLS_AND_CHANGES)
def test_killed_at_random(server: PostgresServer, one_redis_url: str, tmp_path: Path, kills: int, changes: int) -> None:
    chance, mapping = random.Random(3), load_mapping("mercur2")
    url = server.url("postgres")
    settings = {
        "SOURCE_URL": url,
        "REDIS_URL": one_redis_url,
        "EVENT_LOG_URL": f"sqlite://{tmp_path / 'orders.db'}",
    }
    shop = Mercur(url, "first")
    shop.create()
    _start_from(shop, url, mapping)
    killed = {"relay": 0, "projector": 0, "backend": 0}
    with ExitStack() as stack:
        changing = stack.enter_context(Changing(url, 4))
        commands = {"relay": ("source", "run"), "projector": ("run",)}
        running = {name: Process(*command, cwd=tmp_path, **settings) for name, command in commands.items()}
        stack.callback(lambda: [process.process.kill() for process in running.values()])
        while sum(killed.values()) < kills or changing.changes < changes:
            time.sleep(chance.uniform(0.1, 0.6))
            if sum(killed.values()) >= kills:
                continue
            victim = list(killed)[sum(killed.values()) % 3]
            if victim == "backend":
                killed[victim] += _kill_a_backend(url, chance)
                continue
            assert running[victim].stop(signal.SIGKILL) == -signal.SIGKILL, running[victim].text()
            killed[victim] += 1
            running[victim] = Process(*commands[victim], cwd=tmp_path, **settings)
        changing.__exit__()
        shop.close()
        wait_until(lambda: _accepts(url), RECOVERED_S, "PostgreSQL to recover")
        wanted = Mercur(url)
        wait_until(lambda: _notes(wanted) == 0, RECOVERED_S, "an empty outbox")
        orders = expected.orders(wanted.connection)
        with Api(tmp_path, one_redis_url) as api:
            wait_until(lambda: _listed(api) == _totals(orders), RECOVERED_S, "the list to equal the tables")
        done = projector("source", "check", "--json", cwd=tmp_path, settings=settings)
        assert (done.returncode, json.loads(done.stdout)["differences"]) == (0, []), done.stderr
        wanted.close()
    assert min(killed.values()) >= kills // 3
    assert changing.changes >= changes
    survived(
        "`kill -9` of relay, projector or a backend of PostgreSQL",
        sum(killed.values()),
        len(expected.events(tmp_path / "orders.db")),
    )


def _start_from(shop: Mercur, url: str, mapping: Mapping) -> None:
    set_up(url, mapping)
    shop.checkout(SELLERS)


def _accepts(url: str) -> bool:
    """Whether the server has recovered from the last kill."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _kill_a_backend(url: str, chance: random.Random) -> int:
    """Kills one, after which the server ends all others and recovers. Returns 0 if it is just recovering."""
    try:
        with psycopg.connect(url) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            pids = [pid for (pid,) in connection.execute(query)]
    except psycopg.OperationalError:
        return 0
    if not pids:
        return 0
    os.kill(chance.choice(pids), signal.SIGKILL)
    return 1


def _notes(shop: Mercur) -> int:
    ((found,),) = shop.connection.execute("SELECT count(*) FROM order_group_source.notes").fetchall()
    return int(found)


def _totals(orders: dict[expected.Pair, expected.Fields]) -> list[tuple[str, str, float, str]]:
    return sorted((order, group, float(one["total"]), one["status"]) for (order, group), one in orders.items())


def _listed(api: Api) -> list[tuple[str, str, float, str]]:
    """All orders of all groups, an order as often as the list has it."""
    found: list[tuple[str, str, float, str]] = []
    offset = 0
    while True:
        parameters = {"limit": 1000, "offset": offset, "fields": "*orders", "order": "created_at"}
        groups = json.loads(api.get(parameters))["order_groups"]
        if not groups:
            return sorted(found)
        offset += len(groups)
        found += [(one["id"], group["id"], float(one["total"]), one["status"])
                  for group in groups for one in group["orders"]]  # fmt: skip
