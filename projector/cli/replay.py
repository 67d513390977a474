"""`projector replay` and its steps."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from events.log import Log, Loss
from events.open import open_log
from projector.cli import show_replay as show
from projector.cli.progress import Progressing
from projector.cli.wiring import answering, open_nodes, spare_the_collector
from projector.errors import BadSetting
from projector.logs import configure_logs
from projector.patience import Stopped
from projector.replay.lease import Lease
from projector.replay.plan import Plan, make_plan
from projector.replay.replay import Replay
from projector.replay.workers import Task, work
from projector.settings import Settings, load_settings
from projector.status import read_generations
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.up.child import stop_with_parent
from projector.verify.compare import Report

# As a shell has it for a command that was stopped by Ctrl-C.
EXIT_STOPPED = 130
# More than a generation could want; each is a set of keys.
SHARDS_MAX = 1024

app = typer.Typer(
    name="replay",
    help="Rebuild the read model from the log beside the live one, compare, and switch. Alone: all steps, one by one.",
    pretty_exceptions_enable=False,
)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Instead of DATA_DIR.", show_default=False)]
Shards = Annotated[
    int | None,
    typer.Option(
        "--shards", min=1, max=SHARDS_MAX, help="Of the new generation. As many as the live one has, if not given."
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, max=64, help="Processes that build; each takes some of the partitions.")
]
Park = Annotated[
    bool, typer.Option("--park", help="Park events that break the contract, as the live path does, and go on.")
]
AcceptLoss = Annotated[
    list[Loss] | None, typer.Option("--accept-loss", help="Rebuild although the log has lost, or will lose, events.")
]
AcceptDifferences = Annotated[
    bool, typer.Option("--accept-differences", help="Switch although the new generation differs from the live one.")
]
Force = Annotated[bool, typer.Option("--force", help="Build although Redis' memory may not suffice.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: a line of JSON for each step.")]


@app.callback(invoke_without_command=True)
def replay(
    context: typer.Context,
    shards: Shards = None,
    workers: Workers = 1,
    park: Park = False,
    accept_loss: AcceptLoss = None,
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
            raise BadSetting(f"{option}: expected behind {context.invoked_subcommand}, the step that it is for")
        return
    with _step(data_dir, "projector replay", park, as_json) as step:
        step.plan(shards, workers, accept_loss, force, yes)
        step.build()
        step.verify()
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
    """Show what a replay would do, and change nothing."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with _connected(settings) as (log, nodes):
        show.plan(make_plan(log, nodes, shards, workers, accept_loss or (), force), as_json)


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
    """Fold the log into a new generation, or go on with one begun."""
    with _step(data_dir, "projector replay build", park, as_json) as step:
        step.plan(shards, workers, accept_loss, force, yes)
        step.build()


@app.command()
def verify(park: Park = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Compare the new generation with the live one. Exit code 1 where they differ."""
    with _step(data_dir, "projector replay verify", park, as_json) as step:
        if step.verify():
            raise typer.Exit(1)


@app.command()
def switch(
    accept_differences: AcceptDifferences = False,
    park: Park = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make the new generation live. The old one is kept."""
    with _step(data_dir, "projector replay switch", park, as_json) as step:
        step.switch(accept_differences)


@app.command()
def rollback(
    number: Annotated[
        int | None, typer.Argument(help="A generation that was live; the last one, if not given.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring the generation that was live before up to the log, and make it live again."""
    with _step(data_dir, "projector replay rollback", True, as_json) as step:
        show.switched("rollback", step.replay.rollback(number), as_json)


@app.command()
def drop(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER...", help="As `projector replay list` shows them.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Delete generations that are not live."""
    with _step(data_dir, "projector replay drop", True, as_json) as step:
        for number in numbers:
            show.dropped(number, step.replay.drop(number), as_json)


@app.command(name="list")
def list_(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the generations there are."""
    settings = load_settings(os.environ, data_dir=data_dir)
    with open_nodes(settings) as nodes, answering(settings):
        show.generations(read_generations(nodes), as_json)


@app.command(name="work", hidden=True)
def work_(task: str, data_dir: DataDir = None) -> None:
    """What `build` starts: one of its workers."""
    settings = load_settings(os.environ, data_dir=data_dir)
    stop = _stop_on_signals()
    stop_with_parent()
    spare_the_collector()
    with _connected(settings) as (log, nodes), suppress(Stopped):
        work(msgspec.json.decode(task, type=Task), log, Store(nodes), stop)


class Steps:
    """The steps with what is asked and printed in between."""

    def __init__(self, replay: Replay, log: Log, nodes: Nodes, settings: Settings, as_json: bool) -> None:
        self.replay = replay
        self._log = log
        self._nodes = nodes
        self._settings = settings
        self._as_json = as_json
        self._plan: Plan

    def plan(self, shards: int | None, workers: int, accept_loss: list[Loss] | None, force: bool, yes: bool) -> None:
        """Raises BadSetting where the plan is refused."""
        self._plan = made = make_plan(self._log, self._nodes, shards, workers, accept_loss or (), force)
        show.plan(made, self._as_json)
        if made.refusals:
            raise BadSetting("; ".join(f"{refusal.reason}. To go on: {refusal.remedy}" for refusal in made.refusals))
        if shards is not None and shards != made.shards:
            raise BadSetting(
                f"generation {made.number} was begun with --shards {made.shards}: go on with that, or "
                f"projector replay drop {made.number}"
            )
        if not yes:
            _ask("Build it?", "--yes")

    def build(self) -> None:
        made = self._plan
        self.replay.build(made.shards, made.workers, self._settings.data_dir, os.environ)
        show.built(made, self._as_json)

    def verify(self) -> int:
        """How many differences there are."""
        report: Report = self.replay.verify()
        show.verified(report, self._as_json)
        return report.differences

    def switch(self, accept_differences: bool) -> None:
        if not accept_differences and self.replay.differences() and sys.stdin.isatty():
            _ask("Switch to it nevertheless?", "--accept-differences")
            accept_differences = True
        show.switched("switch", self.replay.switch(accept_differences), self._as_json)


@contextmanager
def _step(data_dir: Path | None, what: str, park: bool, as_json: bool) -> Iterator[Steps]:
    settings = load_settings(os.environ, data_dir=data_dir)
    configure_logs(settings.log_level, settings.log_format)
    stop = _stop_on_signals()
    try:
        with (
            _connected(settings) as (log, nodes),
            Lease(settings.store_url, what) as lease,
            Progressing() as progressing,
        ):
            yield Steps(Replay(log, nodes, lease, stop, progressing, park), log, nodes, settings, as_json)
    except Stopped:
        print(f"projector: stopped; {what} goes on from here", file=sys.stderr)
        raise typer.Exit(EXIT_STOPPED) from None


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[Log, Nodes]]:
    with open_log(settings.log_url, os.environ) as log, open_nodes(settings) as nodes, answering(settings):
        yield log, nodes


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _ask(question: str, option: str) -> None:
    """Raises BadSetting where nobody can answer, and exits where the answer is no."""
    if not sys.stdin.isatty():
        raise BadSetting(f"nobody is there to be asked: {option} says yes")
    if not typer.confirm(question, default=True):
        raise typer.Exit(1)
