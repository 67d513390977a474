"""`projector replay` and its steps."""

import os
from contextlib import suppress
from typing import Annotated

import msgspec
import typer

from events.logs.log import Loss
from projector.cli import show_replay as show
from projector.cli.steps import connected, open_steps, stop_on_signals
from projector.cli.verify import Share, sample_of
from projector.cli.wiring import LOSSES, DataDir, advise_if_not_running, open_nodes, tune_collector
from projector.errors import BadSetting
from projector.logs import configure_logs
from projector.replay.plan import make_plan
from projector.replay.workers import Task, work
from projector.retry import Stopped
from projector.settings import SHARDS_MAX, load_settings
from projector.status import read_generations
from projector.store.redis import Store
from projector.up.child import stop_with_parent

app = typer.Typer(
    name="replay",
    help="Rebuild the read model from the log beside the live one, compare, and switch. Without a command: all steps.",
    pretty_exceptions_enable=False,
)

Shards = Annotated[
    int | None,
    typer.Option(
        "--shards", metavar="N", min=1, max=SHARDS_MAX, help="Of the new generation; by default as the live one."
    ),
]
Workers = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=64, help="Processes that build, each some of the partitions."),
]
Park = Annotated[bool, typer.Option("--park", help="Park events that break the contract, as `projector run` does.")]
AcceptLoss = Annotated[
    list[Loss] | None,
    typer.Option("--accept-loss", metavar=LOSSES, help="Rebuild although the log has lost, or will lose, events."),
]
AcceptDifferences = Annotated[
    bool, typer.Option("--accept-differences", help="Switch although the new generation differs from the live one.")
]
Force = Annotated[bool, typer.Option("--force", help="Build although Redis may run out of memory.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each step.")]


@app.callback(invoke_without_command=True)
def replay(
    context: typer.Context,
    shards: Shards = None,
    workers: Workers = 1,
    park: Park = False,
    accept_loss: AcceptLoss = None,
    sample: Share = 1.0,
    accept_differences: AcceptDifferences = False,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Plan, build, verify, switch."""
    if context.invoked_subcommand is not None:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
        if given:
            option = "--" + given[0].removeprefix("as_").replace("_", "-")
            raise BadSetting(f"{option}: expected after {context.invoked_subcommand}, the step that it is for")
        return
    compared = sample_of(sample)
    with open_steps(data_dir, "projector replay", park, as_json) as step:
        step.plan(shards, workers, accept_loss, force, yes)
        step.build()
        step.verify(compared)
        step.switch(accept_differences)


@app.command()
def plan(
    shards: Shards = None,
    workers: Workers = 1,
    accept_loss: AcceptLoss = None,
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what a replay would do, and change nothing. Exit code 1 if it would refuse."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with connected(settings) as (log, nodes):
        made = make_plan(log, nodes, shards, workers, accept_loss or (), force, settings.keeps_personal_data)
        show.plan(made, as_json)
        show.refusals(made, as_json)
    if made.refusals:
        raise typer.Exit(1)


@app.command()
def build(
    shards: Shards = None,
    workers: Workers = 1,
    park: Park = False,
    accept_loss: AcceptLoss = None,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Fold the log into a new generation, or continue an unfinished one."""
    with open_steps(data_dir, "projector replay build", park, as_json) as step:
        step.plan(shards, workers, accept_loss, force, yes)
        step.build()


@app.command()
def verify(sample: Share = 1.0, park: Park = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Compare the new generation with the live one. Exit code 1 if they differ."""
    compared = sample_of(sample)
    with open_steps(data_dir, "projector replay verify", park, as_json) as step:
        if step.verify(compared):
            raise typer.Exit(1)


@app.command()
def switch(
    accept_differences: AcceptDifferences = False,
    park: Park = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make the new generation live. The old one is kept."""
    with open_steps(data_dir, "projector replay switch", park, as_json) as step:
        step.switch(accept_differences)


@app.command()
def rollback(
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", help="A generation that was live; by default the last one.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let a generation that was live before catch up with the log, and make it live again."""
    with open_steps(data_dir, "projector replay rollback", True, as_json) as step:
        step.rollback(number)


@app.command()
def drop(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER", help="As `projector replay list` shows them.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Delete generations that are not live."""
    with open_steps(data_dir, "projector replay drop", True, as_json) as step:
        for number in numbers:
            step.drop(number)


@app.command(name="list")
def list_(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the generations."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with open_nodes(settings) as nodes, advise_if_not_running(settings):
        show.generations(read_generations(nodes), as_json)


@app.command(name="work", hidden=True)
def work_(task: str, data_dir: DataDir = None) -> None:
    """Build as one of the workers that `build` starts."""
    settings = load_settings(os.environ, data_dir=data_dir)
    # Logs go to standard error: standard output is for positions.
    configure_logs(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    stop_with_parent()
    tune_collector()
    with connected(settings) as (log, nodes), suppress(Stopped):
        work(msgspec.json.decode(task, type=Task), log, Store(nodes), stop)
