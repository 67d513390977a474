"""What `projector explain` prints."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from projector.cli.show import print_reflected, print_table
from projector.readmodel.query.explain import MEANINGS
from projector.readmodel.query.explained import Explained

# Steps that have no number of groups.
COUNTLESS = ("refresh", "prepare", "repair")


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
    print_reflected(found.count, found.rows, found.positions)
    print(f"{found.list_ms:g} ms, the median of {found.times} runs; {found.floor_ms:g} ms to read positions only")
