"""Every kind of refusal, caused in a real Redis. Afterwards every event is applied once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from tests import readmodel
from tests.integration.test_way import marketplace
from tests.integration.watched import Projector, append
from tests.processes import Process, projector, wait_until_applied
from tests.readmodel import PREFIX
from tests.servers.cluster import ClusterServer
from tests.servers.process import free_port, wait_until
from tests.servers.redis import RedisHome, RedisServer

EVENTS = marketplace(600)
PART = 40
# Time limit of waits, in seconds.
WAIT_S = 20.0


class Bench:
    """A Redis, and one projector that experiences all refusals in turn."""

    def __init__(self, server: RedisServer, client: "redis.Redis", url: str, run: Projector) -> None:
        self.server = server
        self.client: Any = client
        self.run = run
        self.sent: list[dict[str, Any]] = []
        self.ends: dict[str, int] = {}
        self._url = url

    def publish(self) -> None:
        part = EVENTS[len(self.sent) : len(self.sent) + PART]
        assert len(part) == PART, "too few events for all tests"
        self.sent += part
        self.ends = append(self._url, *part)

    def refusals(self, name: str) -> float:
        return self.run.metric("redis_refusals_total", refusal=name)

    def incidents(self) -> tuple[int, int]:
        """Returns how many outages began, and how many ended."""
        return len(self.run.incidents("waiting")), len(self.run.incidents("resumed"))

    def check(self) -> None:
        wait_until_applied(self.client, self.ends, WAIT_S)
        model = readmodel.read(self.client)
        readmodel.check(model, self.sent)
        readmodel.check_accounting(model, len(self.sent))
        # The projector's own counters: each record once.
        fates = ("applied", "stale", "passed_over", "parked")
        wait_until(
            lambda: sum(self.run.metric("records_total", fate=fate) for fate in fates) == len(self.sent), 5, "the count"
        )


@contextmanager
def _bench(server: RedisServer, path: Path) -> Iterator[Bench]:
    url = f"sqlite://{path}/orders.db"
    append(url)
    with server.client() as client, Projector(path, EVENT_LOG_URL=url, REDIS_URL=server.url) as run:
        bench = Bench(server, client, url, run)
        bench.publish()
        bench.check()
        wait_until(run.is_ready, WAIT_S, "ready")
        yield bench
        assert run.stop() == 0


@pytest.fixture(scope="module")
def _benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[RedisHome], Bench]]:
    with ExitStack() as stack:
        known: dict[RedisHome, Bench] = {}

        def of(home: RedisHome) -> Bench:
            if home not in known:
                server = stack.enter_context(RedisServer(home, "--enable-protected-configs", "yes"))
                known[home] = stack.enter_context(_bench(server, tmp_path_factory.mktemp("bench")))
            return known[home]

        yield of


@pytest.fixture
def bench(redis_home: RedisHome, _benches: Callable[[RedisHome], Bench]) -> Bench:
    return _benches(redis_home)


@contextmanager
def setting(bench: Bench, **settings: object) -> Iterator[None]:
    """Changes settings of Redis within the block."""
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: bench.client.config_get(name)[name] for name in names}
    for name, value in names.items():
        bench.client.config_set(name, value)
    yield
    for name, value in before.items():
        bench.client.config_set(name, value)


@contextmanager
def full(bench: Bench) -> Iterator[None]:
    with setting(bench, maxmemory=1):
        yield


@contextmanager
def replica(bench: Bench, stale: str = "yes") -> Iterator[None]:
    """Makes it a replica of a master that does not exist; its data stays."""
    with setting(bench, replica_serve_stale_data=stale):
        bench.client.replicaof("127.0.0.1", free_port())
        yield
        bench.client.replicaof("NO", "ONE")


@contextmanager
def replica_without_master(bench: Bench) -> Iterator[None]:
    with replica(bench, "no"):
        yield


@contextmanager
def unsaved(bench: Bench) -> Iterator[None]:
    """Makes snapshots fail, by a directory where no file can be created."""
    with setting(bench, dir="/proc", save="3600 1000000"):
        bench.client.bgsave()
        wait_until(lambda: bench.client.info("persistence")["rdb_last_bgsave_status"] == "err", WAIT_S, "a failed save")
        yield
    bench.client.bgsave()
    wait_until(lambda: bench.client.info("persistence")["rdb_last_bgsave_status"] == "ok", WAIT_S, "a good save")


@contextmanager
def busy(bench: Bench) -> Iterator[None]:
    def run() -> None:
        with bench.server.client() as client, suppress(redis.ResponseError):
            client.eval("while true do end", 0)

    with setting(bench, busy_reply_threshold=1):
        script = threading.Thread(target=run)
        script.start()
        wait_until(lambda: is_busy(bench), WAIT_S, "the script to keep it busy")
        yield
        bench.client.script_kill()
        script.join()


def is_busy(bench: Bench) -> bool:
    try:
        bench.client.ping()
    except redis.ResponseError as error:
        return "busy running a script" in str(error)
    return False


@contextmanager
def alone(bench: Bench) -> Iterator[None]:
    with setting(bench, min_replicas_to_write=1):
        yield


@contextmanager
def crowded(bench: Bench) -> Iterator[None]:
    with setting(bench, maxclients=1):
        hang_up(bench)
        yield


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    with setting(bench, requirepass="another"):
        hang_up(bench)
        yield


@contextmanager
def forbidden(bench: Bench) -> Iterator[None]:
    bench.client.execute_command("ACL", "SETUSER", "default", "-evalsha")
    yield
    bench.client.execute_command("ACL", "SETUSER", "default", "+evalsha")


@contextmanager
def silent(bench: Bench) -> Iterator[None]:
    """Does not answer for longer than the time limit of a call."""
    bench.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    yield
    bench.client.execute_command("CLIENT", "UNPAUSE")


@contextmanager
def spoilt(bench: Bench) -> Iterator[None]:
    """Replaces an index by a key of another type: an unclassified error within a commit."""
    index, aside = PREFIX + "by:created_at", PREFIX + "aside"
    bench.client.rename(index, aside)
    bench.client.set(index, "not a sorted set")
    yield
    assert bench.client.hget(PREFIX + "position", "unfinished") == b"1"
    bench.client.rename(aside, index)


def hang_up(bench: Bench) -> None:
    bench.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class Case(NamedTuple):
    refusal: str
    begin: Callable[[Bench], Any]


CASES = [
    Case("OOM", full),
    Case("READONLY", replica),
    Case("MASTERDOWN", replica_without_master),
    Case("MISCONF", unsaved),
    Case("BUSY", busy),
    Case("NOREPLICAS", alone),
    Case("CLIENTS", crowded),
    Case("NOAUTH", locked),
    Case("NOPERM", forbidden),
    Case("TIMEOUT", silent),
    Case("OTHER", spoilt),
]


@pytest.mark.parametrize("case", CASES, ids=[case.refusal for case in CASES])
def test_refused_events_are_applied_once_afterwards(bench: Bench, case: Case) -> None:
    before, began, counted = bench.incidents(), dict(bench.ends), bench.refusals(case.refusal)
    with case.begin(bench):
        bench.publish()
        attempts = 1 if case.refusal == "TIMEOUT" else 3
        wait_until(lambda: bench.refusals(case.refusal) >= counted + attempts, WAIT_S, f"{case.refusal} to be counted")
        wait_until(lambda: bench.run.metric("waiting_seconds", on="redis") > 0, WAIT_S, "the projector to wait")
        assert bench.run.why_not_ready()[0].startswith("waiting for redis: Redis ")
        assert bench.run.get("/health/live").status_code == 200
    bench.check()
    wait_until(bench.run.is_ready, WAIT_S, "ready again")
    assert bench.ends != began
    assert bench.run.metric("waiting_seconds", on="redis") == 0
    # One line for the start and one for the end, however many attempts.
    assert bench.incidents() == (before[0] + 1, before[1] + 1)
    expected = "does not answer" if case.refusal == "TIMEOUT" else f"({case.refusal})"
    assert any(expected in text for text in (bench.run.incidents("waiting")[-1]["reason"], last_reason(bench)))


def last_reason(bench: Bench) -> str:
    reason: str = bench.run.incidents("resumed")[-1]["last_reason"]
    return reason


def test_forgotten_scripts_are_loaded_again(bench: Bench) -> None:
    before, counted = bench.incidents(), bench.refusals("NOSCRIPT")
    for _ in range(3):
        bench.client.script_flush()
        bench.publish()
        bench.check()
    # Of the scripts that load and commit.
    assert bench.refusals("NOSCRIPT") == counted + 2 * 3
    assert bench.incidents() == before


def test_a_loading_redis_is_waited_for(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    """Loading a key takes a tenth of a millisecond, like loading far more keys."""
    slow = ("--key-load-delay", "100", "--appendfsync", "always")
    with RedisServer(cluster_server_home, *slow) as server, _bench(server, tmp_path) as bench:
        # Redis serves clients after every 1024 loaded commands.
        with bench.client.pipeline(transaction=False) as pipeline:
            for number in range(10_000):
                pipeline.set(f"pad:{number}", number)
            pipeline.execute()
        server.kill()
        bench.publish()
        server.restart()
        bench.check()
        assert bench.refusals("LOADING") >= 1
        assert bench.incidents() == (1, 1)


def test_a_cluster_with_moved_slots_and_a_failed_node(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    append(url)
    with ClusterServer(cluster_server_home) as server, server.client() as client:
        settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        with Projector(tmp_path, **settings) as run:

            def publish(start: int) -> None:
                ends = append(url, *EVENTS[start : start + PART])
                wait_until_applied(client, ends, WAIT_S)

            publish(0)
            slot = client.keyslot(PREFIX + "meta")
            server.move(slot, (server.owner(slot) + 1) % 3)
            publish(PART)
            assert run.metric("redis_refusals_total", refusal="MOVED") >= 1
            with server.node_clients() as clients:
                owner: Any = clients[server.owner(slot)]
                given_up = _another(server, slot)
                owner.execute_command("CLUSTER DELSLOTS", given_up)
                ends = append(url, *EVENTS[2 * PART : 3 * PART])
                wait_until(
                    lambda: run.metric("redis_refusals_total", refusal="CLUSTERDOWN") >= 2, WAIT_S, "the cluster down"
                )
                assert run.why_not_ready()
                owner.execute_command("CLUSTER ADDSLOTS", given_up)
            wait_until_applied(client, ends, WAIT_S)
            model = readmodel.read(client)
            readmodel.check(model, EVENTS[: 3 * PART])
            readmodel.check_accounting(model, 3 * PART)
            assert run.stop() == 0


def _another(server: ClusterServer, slot: int) -> int:
    """Returns another slot of the same node."""
    owner = server.owner(slot)
    return next(other for other in range(slot % 500, 16384, 500) if other != slot and server.owner(other) == owner)


# --- eviction ---


def test_an_evicting_redis_is_refused(redis_home: RedisHome, tmp_path: Path) -> None:
    append(f"sqlite://{tmp_path}/orders.db")
    with RedisServer(redis_home) as server:
        settings = {"EVENT_LOG_URL": f"sqlite://{tmp_path}/orders.db", "REDIS_URL": server.url}
        for policy, command in (("allkeys-lru", ("run",)), ("volatile-ttl", ("replay", "build", "--yes"))):
            with server.client() as client:
                client.config_set("maxmemory-policy", policy)
            refused = projector(*command, cwd=tmp_path, settings=settings)
            assert refused.returncode == 2
            where = server.url.removeprefix("redis://")
            last = refused.stderr.splitlines()[-1]
            assert last.startswith(f"projector: Redis at {where}: expected maxmemory-policy noeviction, found {policy}")
        with server.client() as client:
            assert client.keys() == []


def test_an_unreadable_policy_is_a_warning(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    """As with a managed Redis."""
    url = f"sqlite://{tmp_path}/orders.db"
    ends = append(url, *EVENTS[:PART])
    with RedisServer(cluster_server_home) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-info", "-config")
        limited = server.url.replace("redis://", "redis://limited:secret@")
        with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=limited) as run:
            wait_until_applied(client, ends)
            assert run.text().count("cannot read maxmemory-policy, expected noeviction") == 1
            assert run.stop() == 0
