"""Connections to the shop's PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

try:
    import psycopg
except ImportError as missing:
    from events.errors import BadSource

    raise BadSource("no driver for PostgreSQL here: pip install 'order-group-projector[postgres]'") from missing

from events.errors import BadSource, SourceUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

EXPECTED = "expected postgresql://user:password@host:5432/database"
# A relay whose machine vanished holds its lock until the server notices: within 30 s, with these settings.
# What the database or the user is set to must not stop the relay: a time limit, or times that the driver cannot read.
# Rows that a policy hides would be published as gone: without row_security a query of them fails.
_OPTIONS = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4 -c jit=off "
    "-c statement_timeout=0 -c datestyle=ISO -c row_security=off"
)
_CONNECT_S = 5
# How long our own server may leave what we sent without acknowledgement, in milliseconds.
_SILENCE_MS = 30_000


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yields a connection with autocommit. Raises BadSource, and SourceUnavailable for every error of the block."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise BadSource(f"SOURCE_URL: {EXPECTED}")
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise BadSource(f"SOURCE_URL: {EXPECTED}: {_line(error)}") from None
    options = f"{_OPTIONS} {given.pop('options', '')}"
    defaults: dict[str, Any] = {
        "connect_timeout": _CONNECT_S,
        "tcp_user_timeout": _SILENCE_MS,
        "application_name": "projector source",
        # Else the driver returns bytes where the server does not know its encoding (SQL_ASCII).
        "client_encoding": "utf8",
    }
    try:
        with psycopg.connect("", **{**defaults, **given}, options=options, autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise SourceUnavailable(f"the shop's database: {_line(error)}") from error


def rows(connection: Connection, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), values or None).fetchall()


def row(connection: Connection, query: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
    """Returns the only row."""
    (found,) = rows(connection, query, values)
    return found


def run(connection: Connection, query: str, values: Sequence[object] = ()) -> int:
    """Returns how many rows were written."""
    return connection.execute(query.encode(), values or None).rowcount


def quoted(name: str) -> str:
    """Returns the name of a table, or of a column, for SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _line(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
