"""Prints the results of commands to standard output, and everything else to standard error."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
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
# And that in the link to the console.
CONSOLE_TOKEN = timedelta(hours=12)


def banner(settings: Settings, demo: bool, with_source: bool) -> None:
    server = settings.api_here
    url = f"{server}/admin/order-groups"
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
    if settings.console == "on":
        _out.print("The console, in a browser; the link signs in for 12 hours:")
        sys.stdout.write(f"{server}/console{_fragment(settings)}\n\n")
    if settings.openapi_access == "open":
        _out.print(f"The reference, in a browser: {server}/docs, where [bold]Authorize[/] takes the same token.\n")
    _out.print("In another terminal:")
    for command, meaning in (
        ("status", "positions, lag and contents"),
        ("publish --sample 100", "publish sample events; FILE or - for your own"),
        ("token", "another token"),
    ):
        _out.print(f"  {program} {command + option:<{len(option) + 22}} {meaning}")
    if demo:
        _out.print("\nThe demo publishes a sample marketplace: 10 000 events at first, then a few per second.")
    if with_source:
        _out.print(
            "\nThe orders of the shop are published from now on: triggers note each change, and a backfill has begun.\n"
            f"With the same SOURCE_URL: {program} source status, source check. The triggers stay when this stops, and\n"
            f"notes wait for the next start; {program} source remove deletes both."
        )
    _out.print(f"Logs: {settings.home.output}. Ctrl-C stops everything.")
    sys.stdout.flush()


def _fragment(settings: Settings) -> str:
    """Returns the end of a link that signs in; empty without JWT_SECRET. Browsers send no fragment to a server."""
    try:
        return f"#token={make_token(settings, CONSOLE_TOKEN)}"
    except BadSetting:
        return ""


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
    fates = _table("Events, in the live generation", "partition", *names)
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
    kinds = _table("Bytes per group, by kind", "generation", *_kinds(found))
    for generation in found.generations:
        sizes = [generation.bytes_per_group_by_kind.get(kind, 0) for kind in _kinds(found)]
        kinds.add_row(str(generation.number), *(f"{size:,}" for size in sizes))
    for table in (log, fates, model, kinds) if found.generations else (log,):
        _out.print(table)
    for note in _notes(found):
        print(note)


def _notes(found: Status) -> Iterator[str]:
    """Yields what a reader of the tables may have to do, or would ask about."""
    if not found.generations:
        yield "There is no read model yet: projector run makes it."
    for row in found.partitions:
        if row.held_back:
            yield f"{row.partition}: {_events(row.held_back)} cannot be read before a transaction of Kafka has ended."
        if row.paused_at is not None:
            yield (
                f"{row.partition} is paused at {row.paused_at}: too many of its events are parked ({row.paused_by}). "
                "To resume: projector parked list, then redrive or discard."
            )
    parked = sum(row.parked for row in found.partitions)
    if parked:
        yield f"Parked, and not in the list: {_events(parked)}. Why: projector parked list."
    if found.untold:
        yield f"Parked, and not in the dead-letter topic yet: {_events(found.untold)}. Why: the log of the projector."
    if found.passed_over_types:
        # As JSON: a publisher chooses the names.
        types = ", ".join(msgspec.json.encode(name).decode() for name in found.passed_over_types)
        yield f"Passed over, since their type is of no order: events of type {types}."


def _events(number: int) -> str:
    return f"{number:,} {'event' if number == 1 else 'events'}"


def _kinds(found: Status) -> list[str]:
    """Returns the kinds that take memory, in the order of the first generation."""
    sizes = [generation.bytes_per_group_by_kind for generation in found.generations]
    return list(dict.fromkeys(kind for by_kind in sizes for kind, size in by_kind.items() if size))


def print_table(table: Table) -> None:
    _out.print(table)


def print_reflected(groups: int, rows: int, positions: Mapping[str, int]) -> None:
    reflected = ", ".join(f"{partition}@{offset}" for partition, offset in positions.items()) or "nothing"
    print(f"{groups:,} groups, {rows:,} rows; reflects {reflected}")


def _table(title: str, name: str, *numbers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.add_column(name, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table
