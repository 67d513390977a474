"""`projector up`: everything in one process tree."""

import os
from typing import Annotated

import typer

from projector.cli import show
from projector.cli.wiring import DataDir
from projector.errors import BadSetting
from projector.settings import load_settings
from projector.token import ACTOR_ID
from projector.up.up import up as run_up


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Publish events of a sample marketplace, continuously.")] = False,
    data_dir: DataDir = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", help="Instead of API_PORT.", show_default=False)
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="URL",
            help="Install triggers in this PostgreSQL database of a shop, and publish its orders.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run everything in one process tree: log, Redis, projector and API; with --source also a relay."""
    if demo and source:
        raise BadSetting("up: expected --demo or --source, got both")
    # The reference is for browsers, which send no credentials.
    environment = {**os.environ, "OPENAPI_ACCESS": os.environ.get("OPENAPI_ACCESS") or "open"}
    settings = load_settings(environment, data_dir=data_dir, api_port=port, source_url=source)
    if settings.uses_development_secret and not settings.operator_actor_ids:
        # Who reads the development secret may do everything here. Elsewhere a marketplace makes its own tokens.
        environment["OPERATOR_ACTOR_IDS"] = ACTOR_ID
    run_up(settings, environment, demo, bool(source), lambda: show.banner(settings, demo, bool(source)))
    show.stopped(settings)
