"""A PostgreSQL server in a temporary directory, configured for speed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.servers.process import Daemon, wait_until

MISSING = "PostgreSQL is not installed (no `postgres` and `initdb` on the PATH or in /usr/lib/postgresql)"
_START_S = 60.0
_USER = "bench"
# PostgreSQL refuses to run as root, so it runs as one of these users.
_UNPRIVILEGED = ("postgres", "nobody")


def home() -> Path | None:
    """The folder with initdb and postgres of the newest installed version; None without one."""
    found = shutil.which("postgres")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    places = [*([Path(found).resolve().parent] if found else []), *packaged]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class PostgresServer:
    """An empty server on a Unix socket, deleted after the `with` block. Raises ServerFailed."""

    def __init__(self, programs: Path, memory: int, processors: int) -> None:
        # Not in a directory of the caller, which another user could not enter.
        self._directory = tempfile.TemporaryDirectory(prefix="bench-pg-", ignore_cleanup_errors=True)
        self.folder = Path(self._directory.name)
        self._prefix = _as_another(self.folder) if os.geteuid() == 0 else []
        self._data = self.folder / "data"
        self._programs = programs
        options = (f"{name}={value}" for name, value in _settings(memory, processors).items())
        command = [*self._prefix, str(programs / "postgres"), "-D", str(self._data), "-k", str(self.folder)]
        self._daemon = Daemon([*command, *(word for option in options for word in ("-c", option))], self.folder)

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection with autocommit that prepares each statement on first use. The caller closes it."""
        return psycopg.connect(
            host=str(self.folder), user=_USER, dbname="postgres", autocommit=True, prepare_threshold=0
        )

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
    raise SystemExit(f"bench: PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)}")


def _settings(memory: int, processors: int) -> dict[str, str]:
    """Settings for a dedicated machine with that many bytes of memory, and data that may be lost."""
    return {
        "listen_addresses": "",
        "shared_buffers": f"{memory // 4 // 1024**2}MB",
        "effective_cache_size": f"{memory * 3 // 4 // 1024**2}MB",
        "work_mem": "256MB",
        "maintenance_work_mem": "1GB",
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": str(processors),
        "max_parallel_maintenance_workers": str(processors),
        # A frequent value needs another plan than a rare one.
        "plan_cache_mode": "force_custom_plan",
        # Useful for reports, not for queries of milliseconds.
        "jit": "off",
        "autovacuum": "off",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "1h",
    }
