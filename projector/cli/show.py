"""Prints the results of commands to standard output, and everything else to standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from events.logs.log import Partition, Position
from projector.errors import BadSetting
from projector.export import Exported
from projector.settings import Settings
from projector.status import Status
from projector.token import make_token

# Width without a terminal, in characters.
TABLE_WIDTH = 160

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else TABLE_WIDTH)

# How long the token in the banner is valid.
BANNER_TOKEN = timedelta(days=7)


def banner(settings: Settings, demo: bool) -> None:
    url = f"http://{settings.api_host}:{settings.api_port}/admin/order-groups"
    try:
        token = make_token(settings, BANNER_TOKEN)
    except BadSetting:
        token = "<your token>"
    # As it was called: after `make up` it is `.venv/bin/projector`, since the virtual environment is not active.
    program = sys.argv[0] if Path(sys.argv[0]).name == "projector" else "projector"
    option = "" if str(settings.data_dir) == ".projector" else f" --data-dir {settings.data_dir}"
    _out.print(f"[bold green]Order groups are served at[/] {url}\n")
    # Not through rich: the line must reach the terminal as one, ready to be pasted.
    sys.stdout.write(f"curl -H 'Authorization: Bearer {token}' '{url}?limit=3'\n\n")
    _out.print("In another terminal:")
    for command, meaning in (
        ("status", "positions, lag and contents"),
        ("publish --sample 100", "publish sample events; FILE or - for your own"),
        ("token", "another token"),
    ):
        _out.print(f"  {program} {command + option:<{len(option) + 22}} {meaning}")
    if demo:
        _out.print("\nThe demo publishes a sample marketplace: 10 000 events at first, then a few per second.")
    _out.print("Ctrl-C stops everything.")
    sys.stdout.flush()


def stopped(settings: Settings) -> None:
    _out.print(f"\nStopped. The data stays in {settings.data_dir}.")


def print_bad_line(line: str) -> None:
    print(line, file=sys.stderr)


def published(events: int, skipped: int, positions: dict[Partition, int]) -> None:
    note = f", skipped {skipped} bad {'line' if skipped == 1 else 'lines'}" if skipped else ""
    print(f"published {events} {'event' if events == 1 else 'events'}{note}", file=sys.stderr)
    if positions:
        print(",".join(str(Position(*pair)) for pair in sorted(positions.items())))


@contextmanager
def progress(doing: str, stdout_is_free: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar if a terminal shows nothing else. Yields a callback for the done and the total amount."""
    shown = sys.stderr.isatty() and (stdout_is_free or not sys.stdout.isatty())
    with Progress(console=Console(stderr=True), disable=not shown, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def exported(found: Exported) -> None:
    first, end = (",".join(str(Position(*pair)) for pair in sorted(at.items())) for at in (found.first, found.end))
    text = f"exported {found.records} {'record' if found.records == 1 else 'records'}, from {first} to {end}"
    if found.whole:
        text += f"; {found.whole} of them unchanged, since they are not events of the contract"
    if found.too_large:
        text += f"; {found.too_large} too large to be published again"
    print(text, file=sys.stderr)


def status(found: Status) -> None:
    log = _table("Log", "partition", "position", "end", "lag", "held back", "events/s")
    names = ("received", "applied", "stale", "passed over", "parked", "discarded", "bytes parked")
    fates = _table("Events", "partition", *names)
    for row in found.partitions:
        progress = (row.position, row.end, row.lag, row.held_back, row.rate)
        log.add_row(row.partition, *(f"{number:,}" for number in progress))
        counts = (row.received, row.applied, row.stale, row.passed_over, row.parked, row.discarded, row.parked_bytes)
        fates.add_row(row.partition, *(f"{number:,}" for number in counts))
    model = _table("Read model", "generation", "state", "version", "shards", "groups", "memory", "bytes/group")
    for generation in found.generations:
        model.add_row(
            str(generation.number),
            generation.state,
            str(generation.version),
            str(generation.shards),
            f"{generation.groups:,}",
            f"{generation.bytes / 1024**2:,.1f} MiB",
            f"{generation.bytes_per_group:,}",
        )
    for table in (log, fates, model):
        _out.print(table)
    for row in found.partitions:
        if row.paused_at is not None:
            _out.print(
                f"{row.partition} is paused at {row.paused_at}: too many of its events are parked ({row.paused_by}). "
                "To resume: projector parked list, then redrive or discard."
            )
    if found.untold:
        _out.print(f"{found.untold:,} parked events are not in the dead-letter topic yet: it refuses them.")


def print_table(table: Table) -> None:
    _out.print(table)


def _table(title: str, name: str, *numbers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.add_column(name, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table
