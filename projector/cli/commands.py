"""The commands. Each reads the settings, wires the parts, and prints the result."""

import os
from datetime import timedelta
from functools import partial
from typing import Annotated

import msgspec
import typer

from api.errors import ConfigError, WorkerFailed
from api.workers import serve as serve_api
from events.logs.log import Loss
from events.logs.open import open_log
from projector.actions.watcher import executing_actions
from projector.cli import show
from projector.cli.act import act
from projector.cli.explain import explain
from projector.cli.help import Ordered, print_version
from projector.cli.lists import get, list_groups
from projector.cli.parked import app as parked_app
from projector.cli.plan import plan
from projector.cli.publish import export, publish
from projector.cli.replay import app as replay_app
from projector.cli.source import app as source_app
from projector.cli.steps import connected, stop_on_signals
from projector.cli.tail import tail
from projector.cli.up import up
from projector.cli.verify import verify
from projector.cli.wiring import (
    LOSSES,
    AsJson,
    DataDir,
    Interval,
    api_config,
    open_nodes,
    parked_topic,
    refuse_without_redis,
    tune_collector,
)
from projector.errors import BadSetting, FatalError
from projector.health.port import health_port
from projector.health.watch import Watch
from projector.logs import configure_logs
from projector.parked.cap import Limits
from projector.replay.auto import bring_to_our_version
from projector.run import Projector
from projector.settings import load_settings
from projector.status import read_status
from projector.store.redis import Store
from projector.token import make_token
from projector.up.child import stop_with_parent
from projector.verify.selfcheck import self_checking

app = typer.Typer(
    cls=Ordered,
    help="Fold order events from Kafka into order-group documents in Redis. Without EVENT_LOG_URL and REDIS_URL every "
    "command uses the embedded instance in DATA_DIR (.projector), which `projector up` runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # Plain: the boxes of rich give flags a type, and break lines that one wants to copy.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command("list")(list_groups)
app.command()(get)
app.command()(explain)
app.command()(tail)
app.command()(verify)
app.command()(publish)
app.command()(export)
app.command()(plan)
app.command(hidden=True)(act)
app.add_typer(replay_app)
app.add_typer(parked_app)
app.add_typer(source_app)


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]


@app.command()
def run(
    accept_loss: Annotated[
        list[Loss] | None,
        typer.Option("--accept-loss", metavar=LOSSES, help="Run although the log has lost, or will lose, events."),
    ] = None,
    auto_replay: Annotated[
        bool, typer.Option("--auto-replay", help="If an older version is live, build this one and switch, then run.")
    ] = False,
    shards: Annotated[
        int | None,
        typer.Option("--shards", metavar="N", help="Of the first generation, instead of SHARDS.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    with_parent: WithParent = False,
) -> None:
    """Run the projector: fold the log into Redis until SIGTERM."""
    settings = load_settings(os.environ, data_dir=data_dir, shards=shards)
    configure_logs(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    if with_parent:
        stop_with_parent()
    tune_collector()
    watch = Watch(settings.ready_lag_max, settings.ready_held_back_max_s)
    with (
        health_port(settings.projector_host, settings.projector_port, watch.pulse, watch.metrics),
        open_log(settings.log_url, os.environ) as log,
        parked_topic(settings, os.environ) as topic,
        open_nodes(settings, watch.metrics.refused) as nodes,
    ):
        refuse_without_redis(settings)
        accepted, personal = frozenset(accept_loss or ()), settings.keeps_personal_data
        if auto_replay:
            store_url, home = settings.store_url, settings.data_dir
            bring_to_our_version(log, nodes, store_url, stop, accepted, home, os.environ, watch.pulse, personal)
        store = Store(nodes, watch.metrics.answered, watch.metrics.rewritten)
        limits = Limits(settings.parked_max, settings.parked_bytes_max)
        with (
            self_checking(settings.store_url, watch.metrics.checked),
            executing_actions(settings.store_url, settings.data_dir, os.environ),
        ):
            Projector(log, store, stop, accepted, limits, topic, watch, auto_replay, settings.shards, personal).run()


@app.command()
def serve(
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Processes, instead of API_WORKERS.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    with_parent: WithParent = False,
) -> None:
    """Run the API until SIGTERM."""
    settings = load_settings(os.environ, data_dir=data_dir, api_workers=workers)
    set_up_logs = partial(configure_logs, settings.log_level, settings.log_format)
    set_up_logs()
    config = api_config(settings)
    refuse_without_redis(settings)
    if with_parent:
        stop_with_parent()
    try:
        serve_api(config, set_up_logs)
    except ConfigError as error:
        raise BadSetting(str(error)) from None
    except WorkerFailed as error:
        raise FatalError(str(error)) from None


@app.command()
def status(
    interval: Interval = 1.0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the position and lag of each partition, and what the read model holds."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with connected(settings) as (log, nodes):
        found = read_status(log, nodes, interval)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show.status(found)


@app.command()
def token(
    hours: Annotated[
        float, typer.Option("--hours", metavar="HOURS", min=0.001, max=876_000, help="Hours until it expires.")
    ] = 24.0,
    data_dir: DataDir = None,
) -> None:
    """Print a bearer token for the API, signed with JWT_SECRET."""
    print(make_token(load_settings(os.environ, data_dir=data_dir), timedelta(hours=hours)))
