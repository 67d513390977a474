"""Prints the result of `projector explain`."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from projector.cli.show import print_table
from projector.readmodel.query.explained import Explained

# Short descriptions of the steps that projector/readmodel/query/explain.py defines.
MEANINGS = {
    "rank": "page read by rank",
    "list": "members of the smallest filter",
    "probe": "remain after a look-up in this filter",
    "search": "groups that contain the text",
    "slice by slice": "text searched before the call that answers",
    "some at a time": "members looked up before the call that answers",
    "catch up": "changes since that preparation",
    "gathered": "groups in all prepared filters, up to date",
    "bitmap": "groups of the filter",
    "slices": "groups of a range of buckets",
    "and": "groups that pass all filters",
    "sort": "groups sorted",
    "count": "groups that pass the only filter",
    "walk": "checked in the order of the list",
    "place": "groups of a large page, listed in a later call",
    "read": "documents of a large page, read in a later call",
}
# Steps that have no number of groups.
COUNTLESS = ("slice by slice", "some at a time", "catch up")


def explained(found: Explained) -> None:
    table = Table(box=SIMPLE_HEAD, title=f"Plan: {found.plan}", title_justify="left", pad_edge=False)
    for name in ("call", "shard", "step", "key"):
        table.add_column(name, no_wrap=True)
    table.add_column("groups", justify="right")
    table.add_column("", style="dim")
    for number, shards in enumerate(found.rounds, 1):
        for shard in shards:
            for step in shard.steps:
                groups = "" if step.what in COUNTLESS else f"{step.groups:,}"
                table.add_row(str(number), str(shard.number), step.what, step.key, groups, MEANINGS[step.what])
    print_table(table)
    reflected = ", ".join(f"{partition}@{offset}" for partition, offset in found.positions.items()) or "nothing"
    print(f"{found.count:,} groups, {found.rows:,} rows; reflects {reflected}")
    runs = "1 run" if found.times == 1 else f"{found.times} runs"
    print(f"{found.list_ms:g} ms, median of {runs}; {found.floor_ms:g} ms for a call that reads nothing")
