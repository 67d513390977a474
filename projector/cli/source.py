"""`projector source`: publishes the orders of a shop's PostgreSQL database."""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import msgspec
import typer

from events.logs.open import open_log
from events.sources.mapping import load_mapping
from projector.cli import show_source as show
from projector.cli.progress import ProgressBars
from projector.cli.steps import ask, stop_on_signals
from projector.cli.wiring import AsJson, DataDir, Interval, advise_if_not_running
from projector.errors import BadSetting, FatalError, StoreUnavailable
from projector.health.port import health_port
from projector.health.source import reporting_source
from projector.logs import configure_logs
from projector.readmodel.client.errors import OtherGeneration, ReadModelFault, Unavailable
from projector.settings import Settings, load_settings
from projector.up.child import stop_with_parent

# What needs the driver of the extra `postgres` is imported in the commands.
if TYPE_CHECKING:
    from events.sources.check import List
    from events.sources.database import Connection
    from events.sources.watch import Watch

# How often the progress of a backfill is read, in seconds.
LOOK_S = 0.5
# What `check` compares, and more: the list gives whole orders.
_FIELDS = "*orders,*orders.seller,*orders.customer,display_id,cart_id,created_at,customer_id"

app = typer.Typer(
    name="source",
    help="Publish the orders of a shop's PostgreSQL database (SOURCE_URL): triggers note what changes, a relay "
    "publishes it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def install(
    print_: Annotated[bool, typer.Option("--print", help="Print the SQL, and change nothing.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Install the triggers, and the tables for their notes, in the schema order_group_source."""
    settings = load_settings(os.environ, data_dir=data_dir)
    mapping = load_mapping(settings.source_mapping)
    from events.sources import schema

    if print_:
        print(schema.script(mapping), end="")
        return
    with _connected(settings) as connection:
        show.installed(schema.install(connection, mapping))


@app.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove all that `install` added. The list stays as it is."""
    settings = load_settings(os.environ, data_dir=data_dir)
    from events.sources import schema

    with _connected(settings) as connection:
        if not yes:
            ask("Changes are no longer noted. Remove?", "--yes", default=False)
        schema.remove(connection)
    show.removed()


@app.command()
def backfill(data_dir: DataDir = None) -> None:
    """Have all orders published, or continue that. A running relay does it; shows its progress."""
    settings = load_settings(os.environ, data_dir=data_dir)
    mapping = load_mapping(settings.source_mapping)
    from events.sources.backfill import begin_backfill, is_backfilling
    from events.sources.schema import is_installed
    from events.sources.status import is_at_work, read_backfill

    with _connected(settings) as connection:
        if not is_installed(connection):
            raise BadSetting("nothing is installed: run `projector source install`")
        if not is_backfilling(connection):
            begin_backfill(connection, mapping)
        with ProgressBars() as bars:
            while is_at_work(connection):
                found = read_backfill(connection)
                bars.progress("backfill", [found.published], found.orders)
                if not found.running:
                    break
                time.sleep(LOOK_S)
        show.backfilled(read_backfill(connection))


@app.command()
def run(
    data_dir: DataDir = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run the relay until SIGTERM: publish what is noted. Of several relays one works."""
    settings = load_settings(os.environ, data_dir=data_dir)
    mapping = load_mapping(settings.source_mapping)
    from events.sources.relay import Relay
    from events.sources.watch import Watch

    configure_logs(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    if with_parent:
        stop_with_parent()
    watch = Watch()
    with (
        health_port(settings.projector_host, settings.source_port, watch, watch, "SOURCE_PORT"),
        _reporting(settings, mapping.name, watch, with_parent),
        open_log(settings.log_url, os.environ) as log,
    ):
        Relay(_url(settings), mapping, log, stop, watch).run()


@app.command()
def status(
    interval: Interval = 1.0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what waits, how fast it is published, and whether changes may be missing."""
    settings = load_settings(os.environ, data_dir=data_dir)
    mapping = load_mapping(settings.source_mapping)
    from events.sources.status import read_status

    with _connected(settings) as connection:
        found = read_status(connection, mapping, interval)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show.status(found)


@app.command()
def check(
    note: Annotated[bool, typer.Option("--note", help="Have what differs published again.")] = False,
    differences: Annotated[
        int, typer.Option("--differences", metavar="N", min=0, max=1_000_000, help="How many to show.")
    ] = 10,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Compare the shop's tables with the list, order by order. Exit code 1 if anything differs."""
    settings = load_settings(os.environ, data_dir=data_dir)
    mapping = load_mapping(settings.source_mapping)
    from events.sources.check import check as compare

    with (
        advise_if_not_running(settings),
        _connected(settings) as connection,
        open_log(settings.log_url, os.environ) as log,
        _listed(settings.store_url, settings.keeps_personal_data) as listed,
    ):
        found = compare(connection, mapping, listed, log, note, differences)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show.checked(found)
    if found.differing:
        raise typer.Exit(1)


def _reporting(settings: Settings, mapping: str, watch: "Watch", in_up: bool) -> AbstractContextManager[None]:
    """A relay needs no Redis. Where it is given one, or `projector up` has started one, the API shows the relay."""
    return reporting_source(settings.store_url, mapping, watch) if settings.redis_url or in_up else nullcontext()


def _url(settings: Settings) -> str:
    if settings.source_url is None:
        raise BadSetting("SOURCE_URL: not set; expected postgresql://user:password@host:5432/database")
    return settings.source_url.get_secret_value()


@contextmanager
def _connected(settings: Settings) -> "Iterator[Connection]":
    url = _url(settings)
    from events.sources.database import connected

    with connected(url) as connection:
        yield connection


@contextmanager
def _listed(redis_url: str, personal_data: bool) -> "Iterator[List]":
    """Yields the list as the API reads it; without what it does not keep where there is no personal data."""
    # Imported here, so that other commands start without the read engine.
    from api.config import REDIS_WAIT_MS
    from api.params.query import parse_list
    from api.splice import document
    from events.sources.check import BATCH, List
    from projector.readmodel.query.engine import Engine
    from projector.readmodel.query.mark import encoded

    with asyncio.Runner() as loop:
        engine = Engine(redis_url, REDIS_WAIT_MS, connections_max=1, ready_lag_max=0)

        def page(*parameters: tuple[str, str]) -> tuple[list[Mapping[str, Any]], str | None]:
            query = parse_list(urlencode([*parameters, ("limit", str(BATCH)), ("fields", _FIELDS)]))
            try:
                found = loop.run(engine.list(query))
                render = partial(document, with_relations=personal_data)
                documents = [json.loads(one, parse_float=Decimal) for one in map(render, found.rows, found.records)]
            except Unavailable as error:
                raise StoreUnavailable(str(error)) from None
            except ReadModelFault as error:
                raise FatalError(f"the read model is inconsistent: {error}. Run projector verify") from None
            if not personal_data:
                for order in (order for group in documents for order in group["orders"]):
                    del order["email"]
            return documents, encoded(found.next) if found.next else None

        def all_groups() -> Iterator[list[Mapping[str, Any]]]:
            # A walk: with an offset, groups that leave the list meanwhile would hide others.
            after: str | None = ""
            while after is not None:
                try:
                    found, after = page(("order", "created_at"), ("after", after))
                except OtherGeneration:
                    after = ""
                else:
                    yield found

        try:
            yield List(lambda ids: page(*(("id[]", one) for one in ids))[0] if ids else [], all_groups)
        finally:
            loop.run(engine.close())
