"""What `projector explain` prints."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from projector.cli.show import print_table
from projector.readmodel.query.explained import Explained

# What a step is for whoever has not read projector/readmodel/query/explain.py.
MEANINGS = {
    "rank": "the page is read by its ranks",
    "list": "members are listed",
    "probe": "those are looked up, these are left",
    "search": "groups with the text",
    "slice by slice": "all lines are searched first",
    "some at a time": "members are looked up first",
    "catch up": "what changed meanwhile",
    "gathered": "groups in all such filters, brought up to date",
    "bitmap": "groups of the filter",
    "slices": "groups of a range of buckets",
    "and": "groups that pass all filters",
    "sort": "these are sorted",
    "count": "groups that pass the only filter",
    "walk": "looked at in the order of the list",
    "place": "groups of a large page, after the rest",
    "read": "documents of it, at last",
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
    print(f"{found.list_ms:g} ms, the median of {found.times}; {found.floor_ms:g} ms for a call that reads nothing")
