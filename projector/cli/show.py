"""What the commands print. Results go to standard output, everything else to standard error."""

import sys
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from events.log import Partition, Position
from projector.errors import BadSetting
from projector.settings import Settings
from projector.status import Status
from projector.token import make_token

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

# How long the token in the banner is valid.
BANNER_TOKEN = timedelta(days=7)


def banner(settings: Settings, demo: bool) -> None:
    url = f"http://{settings.api_host}:{settings.api_port}/admin/order-groups"
    try:
        token = make_token(settings, BANNER_TOKEN)
    except BadSetting:
        token = "<a token of yours>"
    option = "" if str(settings.data_dir) == ".projector" else f" --data-dir {settings.data_dir}"
    _out.print(f"[bold green]Order groups are served at[/] {url}\n", markup=True)
    # Not through rich: the line must reach the terminal as one, ready to be pasted.
    sys.stdout.write(f"curl -H 'Authorization: Bearer {token}' '{url}?limit=3'\n\n")
    _out.print("In another terminal:")
    _out.print(f"  projector status{option}               how far it has come, and what it holds")
    _out.print(f"  projector publish{option} --sample 100   publish some events; FILE or - for your own")
    _out.print(f"  projector token{option}                another token")
    if demo:
        _out.print("\nThe demo publishes a sample marketplace: 10 000 events at first, then a few a second.")
    _out.print("Ctrl-C stops all of it.")
    sys.stdout.flush()


def stopped(settings: Settings) -> None:
    _out.print(f"\nStopped. The data stays in {settings.data_dir}.")


def complain(line: str) -> None:
    print(line, file=sys.stderr)


def published(events: int, skipped: int, positions: dict[Partition, int]) -> None:
    note = f", skipped {skipped} bad {'line' if skipped == 1 else 'lines'}" if skipped else ""
    print(f"published {events} {'event' if events == 1 else 'events'}{note}", file=sys.stderr)
    if positions:
        print(",".join(str(Position(*pair)) for pair in sorted(positions.items())))


def status(found: Status) -> None:
    log = Table(title="Log", title_justify="left")
    for name in ("partition", "position", "end", "lag", "events/s", "applied", "stale", "passed over", "parked"):
        log.add_column(name, justify="left" if name == "partition" else "right")
    for row in found.partitions:
        numbers = (row.position, row.end, row.lag, row.rate, row.applied, row.stale, row.passed_over, row.parked)
        log.add_row(row.partition, *(f"{number:,}" for number in numbers))
    _out.print(log)
    model = Table(title="Read model", title_justify="left")
    for name in ("generation", "live", "version", "shards", "groups", "memory", "bytes/group"):
        model.add_column(name, justify="right")
    for generation in found.generations:
        model.add_row(
            str(generation.number),
            "yes" if generation.live else "no",
            str(generation.version),
            str(generation.shards),
            f"{generation.groups:,}",
            f"{generation.bytes / 1024**2:,.1f} MiB",
            f"{generation.bytes_per_group:,}",
        )
    _out.print(model)
