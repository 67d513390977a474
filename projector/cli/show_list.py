"""What `projector list` and `projector get` print."""

import sys
from collections.abc import Iterator

import msgspec
from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from api.counted import average
from api.export.columns import columns, values
from api.export.files import Csv, cell
from api.page import body_of
from api.params.export import Export
from events.contract.amount import amount_text
from projector.cli.show import print_reflected, print_table
from projector.readmodel.query.mark import encoded
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.query import Query

# Those of numbers.
_RIGHT = ("seller_count", "total", "display_id", "order_count")
# Moves the cursor to the top, and deletes what is below.
_CLEAR = "\x1b[H\x1b[J"


class Page(Struct, frozen=True):
    """`rows`: JSON objects joined by commas."""

    query: Query
    answer: Answer
    rows: bytes

    @property
    def body(self) -> bytes:
        """As the API sends it."""
        return body_of(self.query, self.answer, self.rows)


def shown(page: Page, form: str, *, clear: bool = False) -> None:
    """`clear`: on a terminal, instead of what was there. JSON is one line."""
    if clear and sys.stdout.isatty():
        sys.stdout.write(_CLEAR)
    if form == "table":
        _table(page)
    elif form == "csv":
        file = Csv(Export(page.query, "csv", per_order=False, has_bom=False))
        sys.stdout.write((file.head() + file.part(page.rows)).decode())
    else:
        print(page.body.decode())
    sys.stdout.flush()


def one(document: bytes) -> None:
    print(msgspec.json.format(document, indent=2).decode())


def _table(page: Page) -> None:
    fields, answer = page.query.fields, page.answer
    names = columns(fields, per_order=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for row in values(page.rows, fields, per_order=False):
        table.add_row(*(Text(_printable(cell(name, bytes(value)))) for name, value in zip(names, row, strict=True)))
    print_table(table)
    print_reflected(answer.count, table.row_count, answer.positions)
    for line in _counted(page):
        print(_printable(line))
    if answer.next is not None:
        print(f"next: after={encoded(answer.next)}")


def _counted(page: Page) -> Iterator[str]:
    """Yields a line for each facet, and one for the sums of each currency."""
    counted = page.answer.counted
    for facet, found in zip(page.query.aggregates.facets, counted.facets, strict=True):
        yield f"{facet.field}: {', '.join(f'{value} {groups:,}' for value, groups in found) or '-'}"
    for one in counted.sums:
        total, least, greatest, mean = map(amount_text, (one.sum, one.least, one.greatest, average(one)))
        name = one.currency or "several or unknown currencies"
        yield f"total, {name}: {total} of {one.count:,} groups, {least} to {greatest}, on average {mean}"


def _printable(text: str) -> str:
    """Returns the text without control characters, so that a published event cannot control the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
