"""`projector parked`: what could not be applied, and what becomes of it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from projector.cli import show_parked as show
from projector.cli.show import progress
from projector.cli.steps import EXIT_STOPPED, ask
from projector.cli.wiring import answering, open_nodes
from projector.errors import BadSetting
from projector.parked.listing import Entry, entries, find, read_one, with_reason
from projector.parked.redrive import discard as discard_all
from projector.parked.redrive import redrive as redrive_all
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.retry import Stopped
from projector.settings import load_settings
from projector.store.redis import Store

app = typer.Typer(
    name="parked",
    help="Events that could not be applied: list them, look at one, apply them after all, throw them away.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Instead of DATA_DIR.", show_default=False)]
Positions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[POSITION]...", help="Such as orders/0@17, as `list` shows them.", show_default=False),
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Those with this text in their reason.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All that are parked.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command(name="list")
def list_(
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many are shown; all are counted.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what is parked, by position, and count it by reason."""
    with _opened(data_dir) as (store, live):
        found = entries(store, live)
    show.listed(live.number, found if reason is None else with_reason(found, reason), limit, reason, as_json)


@app.command(name="show")
def show_(
    position: Annotated[str, typer.Argument(metavar="POSITION", help="Such as orders/0@17.")],
    raw: Annotated[bool, typer.Option("--raw", help="The bytes of its value, and nothing else.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show all that is known of one. With --json key, value and headers are base64, hence exact."""
    if raw and as_json:
        raise BadSetting("show: expected --raw or --json, got both")
    with _opened(data_dir) as (store, live):
        found = read_one(store, live, position)
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
    """Apply them after all, as far as the code as it is now can. Exit code 1 where some stay parked."""
    with _opened(data_dir) as (store, live):
        _must_be_ours(live)
        chosen = _chosen("redrive", store, live, positions, reason, all_)
        with progress("redriving", True) as tell:
            found = redrive_all(store, live, chosen, lambda done: tell(done, len(chosen)))
    show.redriven(found, as_json)
    if found.parked:
        raise typer.Exit(1)


@app.command()
def discard(
    positions: Positions = None,
    reason: Reason = None,
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where positions are not given one by one.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Throw them away. The log has them still: a replay parks them anew."""
    with _opened(data_dir) as (store, live):
        _must_be_ours(live)
        chosen = _chosen("discard", store, live, positions, reason, all_)
        if chosen and not positions and not yes:
            ask(
                f"Throw {len(chosen):,} parked {'event' if len(chosen) == 1 else 'events'} away?",
                "--yes",
                default=False,
            )
        thrown = set(discard_all(store, live, chosen))
    show.discarded([entry for entry in chosen if entry.position in thrown], as_json)


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[tuple[Store, Generation]]:
    """Raises BadSetting where nothing is live. The log is not asked: what is parked has all that it takes."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with open_nodes(settings) as nodes, answering(settings):
        store = Store(nodes)
        live = store.catalogue.live()
        if live is None:
            raise BadSetting("there is no live generation yet, hence nothing is parked: `projector run` makes it")
        try:
            yield store, live
        except Stopped:
            raise typer.Exit(EXIT_STOPPED) from None


def _must_be_ours(live: Generation) -> None:
    if live.version != VERSION:
        raise BadSetting(
            f"the live generation has version {live.version}, this code writes version {VERSION}: do it with the code "
            "that made it, or replay first"
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
