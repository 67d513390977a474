"""One replay at a time: who holds `{og:live}:replay` may build, switch and drop generations.

It is renewed as long as the process lives, so that a killed one is not waited for longer than LEASE_MS.
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
from msgspec import Struct

from projector.errors import BadSetting, FatalError, ProjectorError
from projector.readmodel.schema.generations import REPLAY, Progress
from projector.store.nodes import Nodes

# How long a lease stands that nobody renews, in milliseconds, and how often it is renewed, in seconds.
LEASE_MS = 8_000
RENEW_S = 1.0
# How often a lease is looked at that may be a dead process's, in seconds.
LOOK_S = 0.1

_TAKE = """#!lua flags=allow-oom
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
# What has expired is lost: another process may have come and gone meanwhile.
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


class Holder(Struct):
    """`beat` changes with each renewal: that is how others see that the holder lives.

    `place`, `pid`: those who share the place can see at once whether the process is there.
    """

    who: str
    token: str
    place: str
    pid: int
    beat: int = 0
    progress: Progress | None = None

    def is_dead(self) -> bool:
        """False where we cannot know."""
        if not self.place or self.place != _place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def progress_of(held: str) -> Progress:
    """`held`: what `{og:live}:replay` holds."""
    try:
        return msgspec.json.decode(held, type=Holder).progress or Progress("begin", 0, 0)
    except msgspec.DecodeError:
        return Progress("unknown", 0, 0)


def _place() -> str:
    """Where process ids mean the same; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


class Lease:
    """Held inside the `with` block. Raises Busy where another process holds it."""

    def __init__(self, redis_url: str, what: str) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        who = f"{what}, process {pid} on {socket.gethostname()}, since {since}"
        self._holder = Holder(who, secrets.token_hex(8), _place(), pid)
        # Its own, since a thread renews it.
        self._nodes = Nodes(redis_url)
        self._released = threading.Event()
        self._renewed_at_s = 0.0
        self._is_lost = False
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def token(self) -> str:
        """What the catalogue is written with."""
        return self._holder.token

    def tell(self, progress: Progress) -> None:
        """For those who look at Redis: with the next renewal, which is soon."""
        self._holder.progress = progress

    def check(self) -> None:
        """Raises FatalError where it has expired, as it does when Redis is away from us for long."""
        if self._is_lost or time.monotonic() - self._renewed_at_s > LEASE_MS / 1000:
            raise FatalError("Redis was away for so long that another replay may have taken over: do it again")

    def __enter__(self) -> Self:
        try:
            self._take()
        except BaseException:
            self._nodes.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        try:
            self._eval(_RELEASE, self._holder.token)
        except ProjectorError as away:
            log.warning("the lease expires by itself", reason=str(away))
        self._nodes.close()

    def _take(self) -> None:
        first = None
        deadline_s = time.monotonic() + LEASE_MS / 1000 + RENEW_S
        while not self._take_free():
            now = self._held()
            if now is not None and now.is_dead():
                self._eval(_RELEASE, now.token)
                continue
            is_alive = now is not None and first is not None and now != first
            if is_alive or time.monotonic() > deadline_s:
                raise Busy(f"another replay is at work: {now.who if now else 'unknown'}")
            first = first or now
            time.sleep(LOOK_S)

    def _keep(self) -> None:
        while not self._released.wait(RENEW_S):
            try:
                if not self._renew():
                    self._is_lost = True
                    return
            except ProjectorError as error:
                log.warning("the lease could not be renewed", reason=str(error))

    def _take_free(self) -> bool:
        now_s = time.monotonic()
        if self._eval(_TAKE, msgspec.json.encode(self._holder), LEASE_MS) != 1:
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

    def _held(self) -> Holder | None:
        with self._nodes.errors():
            found = cast(bytes | None, self._nodes.of(REPLAY).get(REPLAY))
        try:
            return msgspec.json.decode(found, type=Holder) if found else None
        except msgspec.DecodeError:
            raise FatalError(f"{REPLAY} in Redis: expected the holder of a lease, got {found!r}") from None

    def _eval(self, script: str, *arguments: str | bytes | int) -> object:
        with self._nodes.errors():
            return self._nodes.of(REPLAY).eval(script, 1, REPLAY, *arguments)
