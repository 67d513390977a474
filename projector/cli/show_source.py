"""Prints the results of `projector source`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from projector.cli.show import print_table
from projector.cli.show_verify import legible

if TYPE_CHECKING:
    from events.sources.check import Checked
    from events.sources.status import Backfill, Status


def installed(tables: Sequence[str]) -> None:
    if tables:
        print(f"Installed, with triggers on {', '.join(tables)}.")
        print("Next: `projector source run`, and `projector source backfill` for the orders that exist already.")
    else:
        print("Everything is installed already.")


def removed() -> None:
    print("Removed: triggers, functions, and the schema order_group_source.")


def backfilled(found: "Backfill") -> None:
    if found.running:
        print("No relay works. The backfill is under way as soon as `projector source run` runs.", file=sys.stderr)
    else:
        print(f"All of {found.orders:,} orders are published.")


def status(found: "Status") -> None:
    table = Table(box=SIMPLE_HEAD, title="Source", title_justify="left", pad_edge=False)
    numbers = {
        "notes": f"{found.notes:,}",
        "bulk notes": f"{found.bulk_notes:,}",
        "oldest": f"{found.oldest_s:,.1f} s",
        "published": f"{found.published:,}",
        "events/s": f"{found.rate:,}",
        "backfill": f"{found.backfill.published:,} of {found.backfill.orders:,}" if found.backfill.orders else "none",
    }
    table.add_column("mapping", no_wrap=True)
    table.add_column("relay", no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(found.mapping, "works" if found.works else "none", *numbers.values())
    print_table(table)
    for problem in found.problems:
        print(problem)


def checked(found: "Checked") -> None:
    for one in found.differences:
        what = f" {one.field}" if one.field else ""
        print(legible(f"{one.order} in {one.group}:{what}: in the tables {one.table}, in the list {one.list}"))
    if found.differing > len({(one.order, one.group) for one in found.differences}):
        print(f"{found.differing:,} orders differ in all.")
    if found.noted:
        print("They are noted, and will be published again.")
    elif found.differing:
        print("Notes or events that still wait may change this: projector source status, projector status.")
        print("Otherwise: projector source check --note")
    else:
        print(f"All equal: {found.orders:,} orders.")
    if found.publishers:
        print(
            f"The log also has events of {', '.join(found.publishers)}. If these are of the same orders, that is an "
            "error: the greater `version` wins, and every publisher counts versions in its own way."
        )
