"""Serves the API in this process, or in several worker processes that this one supervises.

Workers are spawned, not forked; they share the listening sockets and a folder. uvicorn's own supervisor is not used: it
creates its own Server, leaves its workers behind when it is killed, and restarts a failing worker without a pause.
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
from api.middleware.tokens import SECRET_BYTES_MIN

# The pause before a worker that ended is replaced, in seconds. It doubles after each worker that ended early.
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 10.0
# A worker that ends within so many seconds has ended early.
SETTLED_S = 30.0
# Seconds beyond `shutdown_s` after which a worker that is stopping is killed.
GRACE_S = 1.0

_STOPS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("api")


def _do_nothing() -> None: ...


def serve(config: ApiConfig, prepare: Callable[[], None] = _do_nothing) -> None:
    """Serves until SIGTERM or SIGINT, and returns at most `shutdown_s` later. To be called in the main thread.

    `prepare`, which is pickled, is called first in each of several workers, as to configure its log.
    Raises ConfigError if it cannot listen on the address, WorkerFailed if a worker ends before it has served.
    """
    listeners = listen(config.host, config.port)
    host, port = listeners[0].getsockname()[:2]
    _log.info("listening", host=host, port=port, workers=config.workers)
    if config.jwt_secret and (size := len(config.jwt_secret.encode())) < SECRET_BYTES_MIN:
        _log.warning("short JWT_SECRET", bytes=size, expected=SECRET_BYTES_MIN)
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
            # systemd-tmpfiles deletes folders that are ten days old, unless they are locked.
            fcntl.flock(locked, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(locked)


def _serve_here(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot | None = None) -> None:
    # Imported here: the supervisor does not need the web framework.
    from api.server import serve as serve_here

    serve_here(config, listeners, slot)


def _work(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot, prepare: Callable[[], None]) -> None:
    """Runs in the worker process."""
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
        supervisors = [asyncio.create_task(self._supervise(slot)) for slot in slots]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *supervisors], return_when=asyncio.FIRST_COMPLETED)
        # While they are open here, the kernel still accepts connections that no worker would serve.
        for listener in self._listeners:
            listener.close()
        for task in (stopping, *supervisors):
            task.cancel()
        for outcome in await asyncio.gather(*supervisors, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _supervise(self, slot: WorkerSlot) -> None:
        """Restarts the worker of the slot until cancelled. Raises WorkerFailed if none has served yet."""
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
                ended = await self._wait_or_stop(process)
                has_served |= slot.release(number)
            if not has_served:
                raise WorkerFailed(f"expected a worker of the API to serve, but it ended first ({ended}): see its log")
            pause_s = PAUSE_FIRST_S if loop.time() - started_s > SETTLED_S else pause_s
            _log.error("worker ended: starting another one", worker=slot.number, ended=ended, in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _start(self, slot: WorkerSlot) -> SpawnProcess:
        process = self._context.Process(
            target=_work, args=(self._config, self._listeners, slot, self._prepare), daemon=True
        )
        with _signals_blocked():
            process.start()
        return process

    async def _wait_or_stop(self, process: SpawnProcess) -> str:
        """Returns how the process ended. If cancelled, stops the process."""
        try:
            await _wait_for_end(process)
        except asyncio.CancelledError:
            process.terminate()
            try:
                async with asyncio.timeout(self._config.shutdown_s + GRACE_S):
                    await _wait_for_end(process)
            except TimeoutError:
                _log.error("worker did not stop in time: killing it", process=process.pid)
                process.kill()
                await _wait_for_end(process)
            raise
        code = process.exitcode
        process.close()
        assert code is not None
        return f"signal {-code}" if code < 0 else f"exit code {code}"


async def _wait_for_end(process: SpawnProcess) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Blocks SIGTERM and SIGINT. A worker inherits that, and unblocks them once it has handlers."""
    # multiprocessing would unblock the signals when it starts this helper process.
    resource_tracker.ensure_running()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
