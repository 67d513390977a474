"""The commands. Each reads the settings, wires the parts, and prints the result."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.errors import ConfigError, WorkerFailed
from api.workers import serve as serve_api
from events.logs.log import Loss
from events.logs.open import open_log
from events.publisher import entry_of
from events.sample import Marketplace
from projector.cli import show
from projector.cli.explain import explain
from projector.cli.parked import app as parked_app
from projector.cli.replay import app as replay_app
from projector.cli.steps import connected, stop_on_signals
from projector.cli.verify import verify
from projector.cli.wiring import AsJson, DataDir, api_config, open_input, open_nodes, parked_topic, tune_collector
from projector.errors import BadSetting, FatalError
from projector.export import export_log, output
from projector.health.port import health_port
from projector.health.watch import Watch
from projector.logs import configure_logs
from projector.parked.cap import Limits
from projector.publish import BadLines, publish_entries, publish_file
from projector.replay.auto import bring_to_our_version
from projector.run import Projector
from projector.settings import load_settings
from projector.status import read_status
from projector.store.redis import Store
from projector.token import make_token
from projector.up.child import stop_with_parent
from projector.up.up import up as run_up
from projector.verify.selfcheck import self_checking

app = typer.Typer(
    help="Fold order events from Kafka into order-group documents in Redis. Without EVENT_LOG_URL and REDIS_URL every "
    "command uses the embedded instance in DATA_DIR (.projector), which `projector up` runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(explain)
app.command()(verify)
app.add_typer(replay_app)
app.add_typer(parked_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"order-group-projector {version('order-group-projector')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="Publish events of a sample marketplace, continuously.")] = False,
    data_dir: DataDir = None,
    port: Annotated[int | None, typer.Option("--port", help="Instead of API_PORT.", show_default=False)] = None,
) -> None:
    """Run everything in one process tree: log, Redis, projector and API."""
    settings = load_settings(os.environ, data_dir=data_dir, api_port=port)
    run_up(settings, os.environ, demo, lambda: show.banner(settings, demo))
    show.stopped(settings)


@app.command()
def run(
    accept_loss: Annotated[
        list[Loss] | None, typer.Option("--accept-loss", help="Run although the log has lost, or will lose, events.")
    ] = None,
    auto_replay: Annotated[
        bool, typer.Option("--auto-replay", help="If an older version is live, build this one and switch, then run.")
    ] = False,
    data_dir: DataDir = None,
    with_parent: WithParent = False,
) -> None:
    """Run the projector: fold the log into Redis until SIGTERM."""
    settings = load_settings(os.environ, data_dir=data_dir)
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
        accepted = frozenset(accept_loss or ())
        if auto_replay:
            store_url, home = settings.store_url, settings.data_dir
            bring_to_our_version(log, nodes, store_url, stop, accepted, home, os.environ, watch.pulse)
        store = Store(nodes, watch.metrics.answered, watch.metrics.rewritten)
        limits = Limits(settings.parked_max, settings.parked_bytes_max)
        with self_checking(settings.store_url, watch.metrics.checked):
            Projector(log, store, stop, accepted, limits, topic, watch, stands_by=auto_replay).run()


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
    if with_parent:
        stop_with_parent()
    try:
        serve_api(config, set_up_logs)
    except ConfigError as error:
        raise BadSetting(str(error)) from None
    except WorkerFailed as error:
        raise FatalError(str(error)) from None


@app.command()
def publish(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|-]", help="CloudEvents, one JSON object per line, or an export.", show_default=False
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", metavar="N", min=1, max=1_000_000_000, help="Publish N events of a sample marketplace."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip bad lines of the file, and publish the others.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Publish events to the log. Prints the positions that a list must have reached to reflect them."""
    settings = load_settings(os.environ, data_dir=data_dir)
    skipped = 0
    with open_log(settings.log_url, os.environ) as log:
        log.create()
        if sample is not None and file is None:
            now = datetime.now(UTC)
            events = islice(Marketplace(now.isoformat(), now).history(), sample)
            published, positions = publish_entries(log, (entry_of(msgspec.json.encode(event)) for event in events))
        elif file is not None and sample is None:
            try:
                with open_input(file) as lines:
                    published, skipped, positions = publish_file(log, lines, skip_bad, show.print_bad_line)
            except BadLines as error:
                raise BadSetting(str(error)) from None
        else:
            raise BadSetting("publish: expected either a FILE (- for standard input) or --sample N")
    show.published(published, skipped, positions)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="Where to write; - for standard output.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write all events that the log holds to a file of JSON lines, which `projector publish` can read."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with (
        open_log(settings.log_url, os.environ) as log,
        output(file, force) as lines,
        show.progress("exporting", str(file) != "-") as report_progress,
    ):
        found = export_log(log, lines, report_progress)
    show.exported(found)


@app.command()
def status(
    interval: Annotated[
        float, typer.Option("--interval", min=0, max=3600, help="Seconds over which the rate is measured.")
    ] = 1.0,
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
    hours: Annotated[float, typer.Option("--hours", min=0.001, max=876_000, help="Hours until it expires.")] = 24.0,
    data_dir: DataDir = None,
) -> None:
    """Print a bearer token for the API, signed with JWT_SECRET."""
    print(make_token(load_settings(os.environ, data_dir=data_dir), timedelta(hours=hours)))
