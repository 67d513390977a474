"""A lease: `{og:live}:replay`, whose holder alone may build, switch and drop generations, or another key.

A thread renews it as long as the process lives, so others wait at most LEASE_MS for a process that was killed.
"""

import os
import secrets
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import msgspec
import structlog

from projector.errors import BadSetting, FatalError, ProjectorError
from projector.readmodel.schema.generations import REPLAY, Holder, Progress
from projector.store.nodes import Nodes

# A lease expires after so many milliseconds, and is renewed every so many seconds.
LEASE_MS = 8_000
RENEW_S = 1.0
# How often the lease is read while it may belong to a dead process, in seconds.
CHECK_EVERY_S = 0.1

_ACQUIRE = """#!lua flags=allow-oom
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
# An expired lease is not renewed: another process may have held it meanwhile.
_RENEW = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if not held or cjson.decode(held).token ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_RELEASE = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if held and cjson.decode(held).token == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""

log = structlog.get_logger("projector")


class Busy(BadSetting):
    """Another process holds the lease; the text names it."""


def progress_of(held: str) -> Progress:
    """Returns the progress of a replay. `held`: the value of `{og:live}:replay`."""
    try:
        return msgspec.json.decode(held, type=Holder).progress or Progress("begin", 0, 0)
    except msgspec.DecodeError:
        return Progress("unknown", 0, 0)


def _is_dead(holder: Holder) -> bool:
    """Returns False if that cannot be known."""
    if not holder.place or holder.place != _pid_namespace():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _pid_namespace() -> str:
    """Returns a name for all processes among which a process id is unique; empty if there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


class Lease:
    """Held inside the `with` block. Raises Busy where another process holds it."""

    def __init__(self, redis_url: str, what: str, key: str = REPLAY) -> None:
        self._key = key
        since = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        who = f"{what}, process {pid} on {socket.gethostname()}, since {since}"
        self._holder = Holder(who, secrets.token_hex(8), _pid_namespace(), pid)
        # A connection for the thread that renews.
        self._nodes = Nodes(redis_url)
        self._released = threading.Event()
        self._renewed_at_s = 0.0
        self._is_lost = False
        self._thread = threading.Thread(target=self._renew_until_released, daemon=True)

    @property
    def token(self) -> str:
        """Fences writes to the catalogue."""
        return self._holder.token

    def set_progress(self, progress: Progress) -> None:
        """Publishes the progress in Redis with the next renewal."""
        self._holder.progress = progress

    def check(self) -> None:
        """Raises FatalError if the lease is lost, as when Redis cannot be reached for LEASE_MS."""
        if self._is_lost or time.monotonic() - self._renewed_at_s > LEASE_MS / 1000:
            raise FatalError("this replay has lost its lease, so another one may hold it: run the command again")

    def __enter__(self) -> Self:
        try:
            self._acquire()
        except BaseException:
            self._nodes.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        try:
            self._eval(_RELEASE, self._holder.token)
        except ProjectorError as error:
            log.warning("the lease was not released and will expire", reason=str(error))
        self._nodes.close()

    def _acquire(self) -> None:
        first = None
        deadline_s = time.monotonic() + LEASE_MS / 1000 + RENEW_S
        while not self._try_acquire():
            now = self._read_holder()
            if now is not None and _is_dead(now):
                self._eval(_RELEASE, now.token)
                continue
            is_alive = now is not None and first is not None and now != first
            if is_alive or time.monotonic() > deadline_s:
                what = "replay" if self._key == REPLAY else "action"
                raise Busy(f"another {what} is running: {now.who if now else 'unknown'}")
            first = first or now
            time.sleep(CHECK_EVERY_S)

    def _renew_until_released(self) -> None:
        while not self._released.wait(RENEW_S):
            try:
                if not self._renew():
                    self._is_lost = True
                    return
            except ProjectorError as error:
                log.warning("the lease could not be renewed", reason=str(error))

    def _try_acquire(self) -> bool:
        now_s = time.monotonic()
        if self._eval(_ACQUIRE, msgspec.json.encode(self._holder), LEASE_MS) != 1:
            return False
        self._renewed_at_s = now_s
        return True

    def _renew(self) -> bool:
        self._holder.beat += 1
        now_s = time.monotonic()
        if self._eval(_RENEW, self._holder.token, msgspec.json.encode(self._holder), LEASE_MS) != 1:
            return False
        self._renewed_at_s = now_s
        return True

    def _read_holder(self) -> Holder | None:
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(self._key).get(self._key))
        try:
            return msgspec.json.decode(found, type=Holder) if found else None
        except msgspec.DecodeError:
            raise FatalError(f"{self._key} in Redis: expected the holder of a lease, got {found!r}") from None

    def _eval(self, script: str, *arguments: str | bytes | int) -> object:
        with self._nodes.errors():
            return self._nodes.of(self._key).eval(script, 1, self._key, *arguments)
