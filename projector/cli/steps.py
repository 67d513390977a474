"""The steps of a replay as commands: under the lease, with prompts and output."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from events.logs.log import Log, Loss
from events.logs.open import open_log
from projector.cli import show_replay as show
from projector.cli.progress import ProgressBars
from projector.cli.wiring import advise_if_not_running, open_nodes, tune_collector
from projector.errors import BadSetting
from projector.logs import configure_logs
from projector.readmodel.schema.keys import Generation
from projector.replay.lease import Lease
from projector.replay.plan import Plan, make_plan
from projector.replay.replay import Replay
from projector.retry import Stopped
from projector.settings import Settings, load_settings
from projector.store.nodes import Nodes
from projector.verify.compare import Report
from projector.verify.sample import Sample

# The exit code that shells use for a command that was stopped by Ctrl-C.
EXIT_STOPPED = 130


class Steps:
    """Takes steps, prompts, and prints results."""

    def __init__(
        self, replay: Replay, bars: ProgressBars, log: Log, nodes: Nodes, settings: Settings, as_json: bool
    ) -> None:
        self._replay = replay
        self._bars = bars
        self._log = log
        self._nodes = nodes
        self._settings = settings
        self._as_json = as_json
        self._plan: Plan

    def plan(self, shards: int | None, workers: int, accept_loss: list[Loss] | None, force: bool, yes: bool) -> None:
        """Raises BadSetting if the plan is refused."""
        self._plan = made = make_plan(
            *(self._log, self._nodes, shards, workers, accept_loss or (), force),
            personal_data=self._settings.keeps_personal_data,
        )
        show.plan(made, self._as_json)
        if made.refusals:
            raise BadSetting("; ".join(f"{refusal.reason}. To override: {refusal.remedy}" for refusal in made.refusals))
        if not yes:
            ask("Build it?", "--yes")

    def build(self) -> None:
        made = self._plan
        self._replay.build(made.shards, made.workers, self._settings.data_dir, os.environ)
        self._bars.finish()
        show.built(made, self._as_json)

    def verify(self, sample: Sample) -> int:
        """Returns the number of differences."""
        report: Report = self._replay.verify(sample)
        self._bars.finish()
        show.verified(report, self._as_json)
        return report.differences

    def switch(self, accept_differences: bool) -> None:
        if not accept_differences and self._replay.differences() and _is_interactive():
            ask("Switch in spite of the differences?", "--accept-differences")
            accept_differences = True
        self._switched("switch", *self._replay.switch(accept_differences))

    def rollback(self, number: int | None) -> None:
        self._switched("rollback", *self._replay.rollback(number))

    def drop(self, number: int) -> None:
        show.dropped(number, self._replay.drop(number), self._as_json)

    def _switched(self, step: str, now: Generation, before: Generation | None) -> None:
        self._bars.finish()
        show.switched(step, now, before, self._as_json)


@contextmanager
def open_steps(data_dir: Path | None, what: str, park: bool, as_json: bool) -> Iterator[Steps]:
    settings = load_settings(os.environ, data_dir=data_dir)
    configure_logs(settings.log_level, settings.log_format)
    tune_collector()
    stop = stop_on_signals()
    try:
        with (
            connected(settings) as (log, nodes),
            Lease(settings.store_url, what) as lease,
            ProgressBars() as bars,
        ):
            replay = Replay(log, nodes, lease, stop, bars, park, personal_data=settings.keeps_personal_data)
            yield Steps(replay, bars, log, nodes, settings, as_json)
    except Stopped:
        print(f"projector: stopped; {what} continues from here", file=sys.stderr)
        raise typer.Exit(EXIT_STOPPED) from None


@contextmanager
def connected(settings: Settings) -> Iterator[tuple[Log, Nodes]]:
    with open_log(settings.log_url, os.environ) as log, open_nodes(settings) as nodes, advise_if_not_running(settings):
        yield log, nodes


def stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def ask(question: str, option: str, default: bool = True) -> None:
    """Raises BadSetting without a terminal, and typer.Exit if the answer is no."""
    if not _is_interactive():
        raise BadSetting(f"no terminal: pass {option} to confirm")
    # With the handler of `stop_on_signals`, Ctrl-C would not end the prompt.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if not typer.confirm(question, default=default):
            raise typer.Exit(1)
    except (typer.Abort, KeyboardInterrupt):
        raise Stopped from None
    finally:
        signal.signal(signal.SIGINT, handler)


def _is_interactive() -> bool:
    # A closed standard input is None.
    return sys.stdin is not None and sys.stdin.isatty()
