"""Child processes that end with the test run, even if that is killed."""

import atexit
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

# Multiplies the time limits of tests, for a machine that does other work as well. Bounds that are promises stay.
SLACK = float(os.environ.get("TEST_SLACK", 1))
# Time limit of stopping a server before it is killed, in seconds.
STOP_S = 10.0
# How often readiness is checked, in seconds.
CHECK_EVERY_S = 0.02
# How much of a failed server's log an error shows, in bytes.
TAIL_BYTES = 4000


class ServerFailed(Exception):
    """A server did not start, or did not become ready; the text ends with the tail of its log."""


# Below those that outgoing connections get (from 32768 on). Each process of a run of tests begins elsewhere.
_FIRST, _PORTS = 10_000, 22_000
_ports = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Returns a TCP port on the loopback that was free just now, and that no client gets by chance."""
    for number in _ports:
        with socket.socket() as bound, suppress(OSError):
            bound.bind(("127.0.0.1", _FIRST + number % _PORTS))
            return _FIRST + number % _PORTS
    raise AssertionError("counting ends")


def wait_until(ready: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Raises TimeoutError after SLACK times `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s * SLACK
    while not ready():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s * SLACK:g} s")
        time.sleep(CHECK_EVERY_S)


class Daemon:
    """A child process whose output goes to `directory`/log. Its command can be started again after `kill` or `stop`."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        # Finalizers do not run when the test run is killed: then the kernel kills the child.
        guard = shutil.which("setpriv")
        self._command = [guard, "--pdeathsig", "KILL", *command] if guard else list(command)
        self._directory = directory
        self._log = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    def start(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Raises ServerFailed."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        process = self.process
        try:
            wait_until(lambda: process.poll() is not None or ready(), timeout_s, "ready")
        except TimeoutError as error:
            self.kill()
            raise ServerFailed(f"{self._command}: {error}\n{self._tail()}") from None
        if process.poll() is not None:
            raise ServerFailed(f"{self._command}: ended with {process.returncode}\n{self._tail()}")

    def kill(self) -> None:
        """Sends SIGKILL. Unlike after a power failure, the kernel still writes its buffers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        atexit.unregister(self.kill)

    def _tail(self) -> str:
        return self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
