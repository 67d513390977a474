"""A PostgreSQL server for all tests of sources; each test has a database of its own, with the tables of Mercur."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from events.logs.open import open_log, sqlite_url
from events.sources.database import connected
from events.sources.mapping import Mapping, load_mapping
from events.sources.relay import Relay
from events.sources.schema import install
from events.sources.watch import Watch
from tests.conftest import without
from tests.servers.postgres import MISSING, PostgresServer, home
from tests.sources.mercur import Mercur
from tests.sources.plain import TABLES, Shop

# Data may be lost: the server lives as long as the tests.
_SETTINGS = {"fsync": "off", "max_connections": "60", "shared_buffers": "64MB"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = home()
    if programs is None:
        without(MISSING)
        raise AssertionError("skipped or failed by now")
    with PostgresServer(programs, _SETTINGS) as server:
        yield server


@contextmanager
def new_database(server: PostgresServer) -> Iterator[str]:
    """Yields the URL of an empty database."""
    name = f"shop_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield server.url(name)
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    with new_database(postgres) as url:
        yield url


@contextmanager
def owner_of(url: str) -> Iterator[str]:
    """Yields the URL for a user who owns the empty database, and is no superuser."""
    database = conninfo_to_dict(url)["dbname"]
    owner = f"owner_{database}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {owner} LOGIN".encode())
        admin.execute(f"ALTER DATABASE {database} OWNER TO {owner}".encode())
        admin.execute(f"GRANT ALL ON SCHEMA public TO {owner}".encode())
        try:
            yield url.replace("postgresql://shop@", f"postgresql://{owner}@")
        finally:
            admin.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER".encode())
            admin.execute(f"DROP OWNED BY {owner}".encode())
            admin.execute(f"DROP ROLE {owner}".encode())


@pytest.fixture
def shop(empty_url: str) -> Iterator[Mercur]:
    """A marketplace without orders, and without triggers."""
    with new_shop(empty_url) as shop:
        yield shop


@pytest.fixture
def plain(empty_url: str) -> Iterator[Shop]:
    """A shop with numbers as ids, without triggers."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


@contextmanager
def new_shop(url: str) -> Iterator[Mercur]:
    shop = Mercur(url)
    try:
        shop.create()
        yield shop
    finally:
        shop.close()


@pytest.fixture(scope="session")
def mercur2() -> Mapping:
    return load_mapping("mercur2")


def set_up(url: str, mapping: Mapping) -> None:
    with connected(url) as connection:
        install(connection, mapping)


class Publishing:
    """A relay in a thread, from its start to the end of the `with` block."""

    def __init__(self, url: str, mapping: Mapping, log: Path, at: Callable[[str], None] = lambda step: None) -> None:
        self.watch = Watch()
        self.stop = threading.Event()
        self._arguments = (url, mapping, log, at)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Publishing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error

    def _run(self) -> None:
        url, mapping, path, at = self._arguments
        try:
            with open_log(sqlite_url(path), {}) as log:
                Relay(url, mapping, log, self.stop, self.watch, at).run()
        except BaseException as error:  # noqa: BLE001  # raised where the block ends
            self._error = error


def dump() -> Path | None:
    """The dump of a real marketplace, where MERCUR_DUMP names one."""
    return Path(os.environ["MERCUR_DUMP"]) if os.environ.get("MERCUR_DUMP") else None
