"""`projector verify`."""

import os
from typing import Annotated

import msgspec
import typer

from projector.cli import show_verify
from projector.cli.progress import ProgressBars
from projector.cli.steps import connected
from projector.cli.wiring import AsJson, DataDir, tune_collector
from projector.errors import BadSetting
from projector.readmodel.schema.generations import State
from projector.readmodel.schema.keys import Generation
from projector.settings import load_settings
from projector.store.catalogue import Catalogue
from projector.store.redis import Store
from projector.verify.compare import verify_log
from projector.verify.sample import Sample

Share = Annotated[
    float, typer.Option("--sample", metavar="FRACTION", help="Compare a share of the groups, chosen by their ids.")
]


def verify(
    sample: Share = 1.0,
    generation: Annotated[
        int | None, typer.Option("--generation", metavar="N", help="By default the live one.", show_default=False)
    ] = None,
    differences: Annotated[
        int, typer.Option("--differences", metavar="N", min=0, max=1_000_000, help="How many to show.")
    ] = 10,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Fold the log again and compare it with Redis, byte for byte. Exit code 1 if anything differs."""
    share = sample_of(sample)
    settings = load_settings(os.environ, data_dir=data_dir)
    tune_collector()
    with connected(settings) as (log, nodes):
        chosen = _chosen(Catalogue(nodes), generation)
        with ProgressBars() as progress:
            report = verify_log(
                log,
                Store(nodes),
                chosen,
                lambda call: call(),
                lambda step, done, total: progress.progress(step, [done], total),
                share,
                differences,
            )
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        show_verify.report(report)
    if report.differences:
        raise typer.Exit(1)


def sample_of(share: float) -> Sample:
    """Raises BadSetting."""
    if not 0 < share <= 1:
        raise BadSetting(f"--sample: expected a fraction above 0 and up to 1, got {share}")
    return Sample(share)


def _chosen(catalogue: Catalogue, number: int | None) -> Generation:
    """Raises BadSetting if there is no such generation, or it need not hold what its positions say."""
    live = catalogue.live()
    if live is not None and number in (None, live.number):
        return live
    if number is None:
        raise BadSetting("there is no live generation yet: `projector run` creates it")
    entry = catalogue.find(number)
    if entry is None:
        raise BadSetting(f"--generation: there is no generation {number}")
    if entry.state in (State.BUILDING, State.DROPPING):
        raise BadSetting(f"--generation: {number} is {entry.state}, so its content need not match its positions")
    return entry.generation
