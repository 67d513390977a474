"""docs/cli.md, generated from the commands: `python -m projector.cli.reference docs`, which `make docs` runs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from projector.cli.commands import app

_CODES = {
    0: "done; of a service: stopped by SIGTERM or Ctrl-C",
    1: "done, with a result that scripts should notice: differences (`verify`, `replay verify`, `source check`), a "
    "refused plan (`replay plan`), events that stay parked (`parked redrive`), or a no to a question",
    2: "not done: wrong options or settings, a refusal, also of a whole `replay` that ends at differences, an "
    "unavailable server. One line on standard error says what and why",
    130: "stopped by Ctrl-C or SIGTERM: a replay, `parked redrive`; the same command continues",
}
_HEAD = """# Command line

Generated from the code by `make docs`. `projector COMMAND --help` prints the same. Settings are environment variables:
[settings.md](settings.md).

## Exit codes

| exit code | |
|---|---|
"""


def render() -> str:
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in _CODES.items())
    return _HEAD + codes + "".join(_section(path, command) for path, command in commands(typer.main.get_command(app)))


def commands(command: Any, path: str = "projector") -> Iterator[tuple[str, Any]]:
    """All commands that do something, as `projector replay build`, in the order of the help."""
    found = getattr(command, "commands", None)
    if path != "projector" and (found is None or command.invoke_without_command):
        yield path, command
    if found is not None:
        for name in command.list_commands(None):
            if not found[name].hidden:
                yield from commands(found[name], f"{path} {name}")


def _section(path: str, command: Any) -> str:
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [_usage(param) for param in shown if param.param_type_name == "argument"]
    options = [param for param in shown if param.param_type_name == "option" and param.help]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *arguments])
    text = f"\n## {path}\n\n`{usage}`\n\n{' '.join((command.help or '').split())}\n"
    if options:
        text += "\n| option | |\n|---|---|\n" + "".join(map(_row, options))
    return text


def _usage(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()) + ("" if argument.nargs == 1 else "...")
    return name if argument.required else f"[{name}]"


def _row(option: Any) -> str:
    takes = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    has_default = option.show_default and not option.is_flag and option.default not in (None, ())
    default = f" Default: {option.default:g}." if has_default and isinstance(option.default, float) else ""
    if has_default and not default:
        default = f" Default: {option.default}."
    name = f"`{', '.join(option.opts)}{takes}`".replace("|", "\\|")
    return f"| {name} | {option.help}{default} |\n".replace("\n |", " |")


if __name__ == "__main__":
    Path(sys.argv[1], "cli.md").write_text(render())
