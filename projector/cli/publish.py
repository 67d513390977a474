"""`projector publish` and `projector export`: into the log, and out of it."""

import os
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from events.logs.open import open_log
from events.publisher import entry_of
from events.sample import Marketplace
from projector.cli import show
from projector.cli.wiring import DataDir, open_input
from projector.errors import BadSetting
from projector.export import export_log, output
from projector.publish import BadLines, publish_entries, publish_file
from projector.settings import load_settings


def publish(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE|-", help="CloudEvents, one JSON object per line, or an export.", show_default=False
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
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Publish bad lines as they are, to try what parks them.")
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
                    published, skipped, positions = publish_file(
                        log, lines, skip_bad, show.print_bad_line, checked=not unchecked
                    )
            except BadLines as error:
                raise BadSetting(str(error)) from None
        else:
            raise BadSetting("publish: expected either a FILE (- for standard input) or --sample N")
    show.published(published, skipped, positions)


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
