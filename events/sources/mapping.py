"""Mappings: which tables of a shop hold its orders, and the query that reads them in the columns of the contract.

A mapping is a directory with `orders.sql` and `tables.toml`; docs/connecting.md describes both.
"""

import tomllib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from events.errors import BadSource

MAPPINGS = Path(__file__).parent / "mappings"
# PostgreSQL cuts longer names, in bytes.
_NAME_MAX = 63


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table whose changed rows are noted. Exactly one of `order`, `pair` and `key` is set.

    `order`: the column with the id of the order. `pair`: the columns with the ids of an order and of its group.
    `key`: a column from which `orders` finds the ids of orders, as a query with `ANY(%s)`.
    `columns`: an UPDATE that changes neither them nor the columns above is not noted; empty: every UPDATE is noted.
    """

    name: str
    order: str = ""
    pair: tuple[str, ...] = ()
    key: str = ""
    orders: str = ""
    columns: tuple[str, ...] = ()

    @property
    def noted(self) -> tuple[str, ...]:
        """The columns that a note keeps."""
        return self.pair or (self.order or self.key,)


class _Tables(Struct, forbid_unknown_fields=True):
    table: list[Table]


class Mapping(Struct, frozen=True):
    """`query`: rows in the columns of the contract for `ANY(%s)`, ids of orders."""

    name: str
    query: str
    tables: tuple[Table, ...]

    @property
    def source(self) -> str:
        """The `source` of the events."""
        return f"/sources/{self.name}"

    @property
    def digest(self) -> str:
        """Changes whenever the triggers must be installed again."""
        return blake2b(msgspec.json.encode(self.tables), digest_size=8).hexdigest()

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


def function_name(table: str) -> str:
    """Returns the name of the function that notes what changes in a table."""
    return "note_" + table.replace(".", "_")


def load_mapping(place: str) -> Mapping:
    """Returns a mapping that we ship, by its name, or that of a directory. Raises BadSource."""
    folder = MAPPINGS / place if "/" not in place else Path(place)
    try:
        query = (folder / "orders.sql").read_text()
        tables = msgspec.convert(tomllib.loads((folder / "tables.toml").read_text()), _Tables).table
    except OSError as error:
        shipped = ", ".join(sorted(path.name for path in MAPPINGS.iterdir()))
        raise BadSource(
            f"SOURCE_MAPPING: expected {shipped}, or a directory such as ./mapping, got {place!r}: {error.strerror}"
        ) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadSource(f"{folder / 'tables.toml'}: {error}") from None
    if problems := list(_problems(query, tables)):
        raise BadSource(f"{folder}: {'; '.join(problems)}")
    return Mapping(folder.name, query, tuple(tables))


def _problems(query: str, tables: Sequence[Table]) -> Iterator[str]:
    if query.count("%s") != 1:
        yield f"orders.sql: expected one %s, the ids of orders, got {query.count('%s')}"
    if not tables or tables[0].key:
        yield "tables.toml: expected the table of the orders first, with `order` or `pair`"
    for table in tables:
        if sum(map(bool, (table.order, table.pair, table.key))) != 1:
            yield f"tables.toml: {table.name}: expected one of `order`, `pair` and `key`"
        if table.pair and len(table.pair) != 2:
            yield f"tables.toml: {table.name}: expected two columns in `pair`, order and group"
        if bool(table.key) != (table.orders.count("%s") == 1):
            yield f"tables.toml: {table.name}: expected `orders` with one %s, exactly where there is a `key`"
    if len({function_name(table.name).encode()[:_NAME_MAX] for table in tables}) < len(tables):
        yield "tables.toml: expected each table once, and names of which PostgreSQL can make those of functions"
