"""The API in one process, or in several that listen on the same sockets. This one then only looks after them.

Each is a process of its own, started anew: nothing of ours is shared but the sockets and a folder. uvicorn has such a
supervisor, too, but it makes its own Server, leaves its workers behind when it is killed, and starts one that dies at
once for ever.
"""

import asyncio
import fcntl
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from api.config import ApiConfig
from api.errors import WorkerFailed
from api.http.listening import listen
from api.http.worker_slot import WorkerSlot

# The pause before a worker that died is replaced, in seconds. It doubles with each that dies soon.
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 10.0
# Who has lived for so long, in seconds, did not die soon.
SETTLED_S = 30.0
# How long a worker may take to end beyond `shutdown_s`, in seconds; then it is killed.
GRACE_S = 1.0

_STOPS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("api")


def _nothing() -> None:
    """There is nothing to prepare."""


def serve(config: ApiConfig, prepare: Callable[[], None] = _nothing) -> None:
    """Returns after SIGTERM or SIGINT, at the latest `shutdown_s` later. For the main thread.

    `prepare` is called first in each worker where there are several, as for its logs; it is pickled.
    Raises ConfigError if the address cannot be had, WorkerFailed.
    """
    listeners = listen(config.host, config.port)
    host, port = listeners[0].getsockname()[:2]
    _log.info("listening", host=host, port=port, workers=config.workers)
    if config.workers == 1:
        _serve_here(config, listeners)
    else:
        with _folder() as folder:
            asyncio.run(_Workers(config, listeners, prepare).run(folder))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="order-groups-api-", ignore_cleanup_errors=True) as name:
        locked = os.open(name, os.O_RDONLY)
        try:
            # systemd-tmpfiles removes what is ten days old, unless it is locked.
            fcntl.flock(locked, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(locked)


def _serve_here(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot | None = None) -> None:
    # Imported here: who looks after workers does not need the web framework.
    from api.server import serve as serve_here

    serve_here(config, listeners, slot)


def _work(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot, prepare: Callable[[], None]) -> None:
    """The worker's side."""
    prepare()
    try:
        _serve_here(config, listeners, slot)
    finally:
        if slot.is_orphaned:
            slot.clean_up()


class _Workers:
    def __init__(self, config: ApiConfig, listeners: Sequence[socket.socket], prepare: Callable[[], None]) -> None:
        self._config = config
        self._listeners = listeners
        self._prepare = prepare
        self._context = get_context("spawn")

    async def run(self, folder: Path) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in _STOPS:
            loop.add_signal_handler(number, stop.set)
        slots = [WorkerSlot(folder, number, os.getpid()) for number in range(self._config.workers)]
        keepers = [asyncio.create_task(self._keep(slot)) for slot in slots]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        # While we have them, the kernel goes on taking connections that nobody would serve any more.
        for listener in self._listeners:
            listener.close()
        for task in (stopping, *keepers):
            task.cancel()
        for found in await asyncio.gather(*keepers, return_exceptions=True):
            if isinstance(found, Exception):
                raise found

    async def _keep(self, slot: WorkerSlot) -> None:
        """Somebody serves at that slot until this is cancelled. Raises WorkerFailed if nobody ever did."""
        loop, pause_s, has_served = asyncio.get_running_loop(), PAUSE_FIRST_S, False
        while True:
            started_s = loop.time()
            try:
                process = self._start(slot)
            except OSError as error:
                ended = f"not started: {error.strerror}"
            else:
                assert process.pid is not None
                number = process.pid
                ended = await self._end(process)
                has_served |= slot.clear(number)
            if not has_served:
                raise WorkerFailed(f"a worker of the API ended before it served ({ended})")
            pause_s = PAUSE_FIRST_S if loop.time() - started_s > SETTLED_S else pause_s
            _log.error("a worker is gone: starting another one", worker=slot.number, ended=ended, in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _start(self, slot: WorkerSlot) -> SpawnProcess:
        process = self._context.Process(
            target=_work, args=(self._config, self._listeners, slot, self._prepare), daemon=True
        )
        with _held():
            process.start()
        return process

    async def _end(self, process: SpawnProcess) -> str:
        """How it ended; if this is cancelled, it is made to."""
        try:
            await _until_gone(process)
        except asyncio.CancelledError:
            process.terminate()
            try:
                async with asyncio.timeout(self._config.shutdown_s + GRACE_S):
                    await _until_gone(process)
            except TimeoutError:
                _log.error("a worker did not end, and is killed", process=process.pid)
                process.kill()
                await _until_gone(process)
            raise
        code = process.exitcode
        process.close()
        assert code is not None
        return f"signal {-code}" if code < 0 else f"exit code {code}"


async def _until_gone(process: SpawnProcess) -> None:
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


@contextmanager
def _held() -> Iterator[None]:
    """Signals wait. A worker is born like that, and hears them once it can: Ctrl-C goes to all of us at once."""
    # Where it has to start this helper of its own, multiprocessing would let them go.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
