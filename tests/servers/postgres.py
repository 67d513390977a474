"""A PostgreSQL server in a temporary directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.servers.process import Daemon, wait_until

MISSING = "PostgreSQL is not installed (no `postgres` and `initdb` on the PATH or in /usr/lib/postgresql)"
_START_S = 60.0
_USER = "shop"
# PostgreSQL refuses to run as root, so it runs as one of these users.
_UNPRIVILEGED = ("postgres", "nobody")


def home() -> Path | None:
    """The folder with initdb and postgres of the newest installed version; None without one."""
    found = shutil.which("postgres")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    places = [*([Path(found).resolve().parent] if found else []), *packaged]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class PostgresServer:
    """An empty server on a Unix socket, deleted after the `with` block. `settings`: of postgresql.conf.

    Raises ServerFailed.
    """

    def __init__(self, programs: Path, settings: Mapping[str, str]) -> None:
        # Not in a directory of the caller, which another user could not enter.
        self._directory = tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True)
        self.folder = Path(self._directory.name)
        self._prefix = _as_another(self.folder) if os.geteuid() == 0 else []
        self._data = self.folder / "data"
        self._programs = programs
        options = (f"{name}={value}" for name, value in {"listen_addresses": "", **settings}.items())
        command = [*self._prefix, str(programs / "postgres"), "-D", str(self._data), "-k", str(self.folder)]
        self._daemon = Daemon([*command, *(word for option in options for word in ("-c", option))], self.folder)

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection with autocommit that prepares each statement on first use. The caller closes it."""
        return psycopg.connect(
            host=str(self.folder), user=_USER, dbname="postgres", autocommit=True, prepare_threshold=0
        )

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    def version(self) -> str:
        with self.connect() as connection:
            return str(connection.info.parameter_status("server_version")).split()[0]

    def __enter__(self) -> Self:
        subprocess.run(
            [
                *(*self._prefix, str(self._programs / "initdb"), "-D", str(self._data), "--no-sync"),
                *(f"--username={_USER}", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        self._daemon.start(self._answers, _START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemon.stop()
        # The last of its processes may still be ending.
        with suppress(TimeoutError):
            wait_until(lambda: not (self._data / "postmaster.pid").exists(), 5, "the end of PostgreSQL")
        self._directory.cleanup()

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _as_another(folder: Path) -> Sequence[str]:
    guard = shutil.which("setpriv")
    for name in _UNPRIVILEGED:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            assert guard is not None, "root on Linux has util-linux"
            groups = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
            # --pdeathsig comes after the change of user, which resets it.
            return [guard, *groups, guard, "--pdeathsig", "KILL"]
    raise SystemExit(f"PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)}")
