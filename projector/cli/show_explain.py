"""What `projector explain` prints."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from projector.cli.show import print_table
from projector.readmodel.query.explained import Explained

# The meaning of each step, as printed: see projector/readmodel/query/explain.py.
MEANINGS = {
    "rank": "page read by rank",
    "list": "members listed",
    "probe": "left after looking them up",
    "search": "groups with the text",
    "slice by slice": "all lines searched first, in slices",
    "some at a time": "mask prepared first, in slices",
    "catch up": "mask brought up to date in part",
    "gathered": "groups in the prepared mask, brought up to date",
    "bitmap": "groups of the filter",
    "slices": "groups of a range of buckets",
    "and": "groups that pass all filters",
    "sort": "sorted",
    "count": "groups that pass the only filter",
    "walk": "looked up in the order of the list",
    "place": "ids of a large page, read after the list",
    "read": "documents of a large page, read last",
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
    print(f"{found.list_ms:g} ms, the median of {found.times} runs; {found.floor_ms:g} ms to read positions only")
