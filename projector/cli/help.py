"""The order of commands in the help, and the version."""

from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperGroup

# That of a user's day: try it, look into it, take care of it, run it as a service.
_ORDER = (
    *("up", "publish", "status", "token", "list", "get", "tail", "explain"),
    *("parked", "verify", "replay", "export", "source"),
    *("plan", "run", "serve"),
    # Hidden.
    "act",
)


class Ordered(TyperGroup):
    """Without it, groups would come after commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"order-group-projector {version('order-group-projector')}")
        raise typer.Exit
