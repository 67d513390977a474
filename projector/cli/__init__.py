"""The command line: reads settings, wires the parts, and turns errors into one line and exit code 2."""

import sqlite3
import sys

from events.errors import EventsError
from projector.cli.commands import app
from projector.errors import ProjectorError


def main() -> None:
    try:
        app(prog_name="projector")
    except (ProjectorError, EventsError) as error:
        print(f"projector: {error}", file=sys.stderr)
        sys.exit(2)
    except sqlite3.Error as error:
        # Of an SQLite log, or of the temporary tables of verify: a full disk, a file that is no database.
        print(f"projector: SQLite: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # A data directory that cannot be created or written, a full disk.
        print(f"projector: {error.strerror}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        sys.exit(2)
