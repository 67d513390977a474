"""`projector parked`: lists, shows, redrives and discards events that could not be applied."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from events.logs.log import Log
from events.logs.open import open_log
from projector.cli import show_parked as show
from projector.cli.show import progress
from projector.cli.steps import EXIT_STOPPED, ask
from projector.cli.wiring import AsJson, DataDir, advise_if_not_running, open_nodes
from projector.errors import BadSetting
from projector.parked.listing import Entry, entries, find, read_one, with_reason
from projector.parked.redrive import discard as discard_all
from projector.parked.redrive import redrive as redrive_all
from projector.readmodel.schema.keys import VERSION, Generation
from projector.retry import Stopped
from projector.settings import load_settings
from projector.store.redis import Store

app = typer.Typer(
    name="parked",
    help="Events that could not be applied: list, show, redrive (apply them now) or discard them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Positions = Annotated[
    list[str] | None,
    typer.Argument(metavar="POSITION", help="Such as orders/0@17, as `list` shows them.", show_default=False),
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Events whose reason contains this text.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All parked events.")]


@app.command(name="list")
def list_(
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="How many to show; all are counted.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List parked events by position, and count them by reason."""
    with _opened(data_dir) as (store, live):
        found = entries(store, live)
    show.listed(live.number, found if reason is None else with_reason(found, reason), limit, reason, as_json)


@app.command(name="show")
def show_(
    position: Annotated[str, typer.Argument(metavar="POSITION", help="Such as orders/0@17.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print the bytes of its value, and nothing else.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one parked event. With --json key, value and headers are exact, in base64."""
    if raw and as_json:
        raise BadSetting("show: expected --raw or --json, got both")
    with _opened(data_dir) as (store, live):
        found = read_one(store, live, position)
    if raw and not found.with_payload:
        raise BadSetting(f"{position}: PERSONAL_DATA is off, so its value is in the log alone")
    if raw:
        sys.stdout.buffer.write(found.value or b"")
    else:
        show.one(found, as_json)


@app.command()
def redrive(
    positions: Positions = None,
    reason: Reason = None,
    all_: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Apply parked events with the current code. Exit code 1 if some stay parked."""
    with _opened(data_dir) as (store, live):
        _require_same_version(live)
        chosen = _chosen("redrive", store, live, positions, reason, all_)
        with _log_of(live, data_dir) as log, progress("redriving", True) as report_progress:
            found = redrive_all(store, live, chosen, lambda done: report_progress(done, len(chosen)), log)
    show.redriven(found, as_json)
    if found.parked:
        raise typer.Exit(1)


@app.command()
def discard(
    positions: Positions = None,
    reason: Reason = None,
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask to confirm --reason or --all.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Discard parked events. They stay in the log: a replay parks them again."""
    with _opened(data_dir) as (store, live):
        _require_same_version(live)
        chosen = _chosen("discard", store, live, positions, reason, all_)
        if chosen and not positions and not yes:
            ask(
                f"Discard {len(chosen):,} parked {'event' if len(chosen) == 1 else 'events'}?",
                "--yes",
                default=False,
            )
        discarded = set(discard_all(store, live, chosen))
    show.discarded([entry for entry in chosen if entry.position in discarded], as_json)


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[tuple[Store, Generation]]:
    """Raises BadSetting if no generation is live."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with open_nodes(settings) as nodes, advise_if_not_running(settings):
        store = Store(nodes)
        live = store.catalogue.live()
        if live is None:
            raise BadSetting("there is no live generation yet, so nothing is parked: `projector run` creates it")
        try:
            yield store, live
        except Stopped:
            raise typer.Exit(EXIT_STOPPED) from None


@contextmanager
def _log_of(live: Generation, data_dir: Path | None) -> Iterator[Log | None]:
    """Opens no log if it is not needed: with personal data, parked records hold the whole event."""
    if live.personal_data:
        yield None
        return
    with open_log(load_settings(os.environ, data_dir=data_dir).log_url, os.environ) as log:
        yield log


def _require_same_version(live: Generation) -> None:
    if live.version != VERSION:
        raise BadSetting(
            f"the live generation has version {live.version}, this release writes version {VERSION}: use the release "
            "that built it, or run projector replay first"
        )


def _chosen(
    command: str, store: Store, live: Generation, positions: list[str] | None, reason: str | None, all_: bool
) -> list[Entry]:
    if bool(positions) + (reason is not None) + all_ != 1:
        raise BadSetting(f"{command}: expected either positions, --reason or --all")
    if positions:
        return find(store, live, positions)
    found = entries(store, live)
    return found if reason is None else with_reason(found, reason)
