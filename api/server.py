"""Runs the API in this process."""

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn

from api.app import create_app
from api.changes.subscriptions import Subscriptions
from api.config import ApiConfig
from api.http import limits
from api.http.connections import Connections
from api.http.wire import Wire, close_overdue
from api.http.worker_slot import WorkerSlot
from api.middleware.metrics import Metrics
from api.middleware.observe import Observer

# uvicorn ticks ten times a second.
_CHECK_TICKS = round(limits.CHECK_S * 10)

_log = structlog.get_logger("api")


class Server(uvicorn.Server):
    """uvicorn's server that also closes overdue connections.

    With a slot, it marks the slot as serving, updates the shared gauges, and ends when its parent process is gone.
    """

    def __init__(
        self, config: uvicorn.Config, metrics: Metrics, slot: WorkerSlot | None, end_streams: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._end_streams = end_streams
        self._metrics = metrics
        self._slot = slot

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        tune_collector()
        if self._slot is not None:
            self._slot.mark_serving()
            _log.info("serving", worker=self._slot.number, process=os.getpid())

    async def on_tick(self, counter: int) -> bool:
        if self._slot is not None:
            self._metrics.update_watched()
            self.should_exit |= self._slot.is_orphaned
        if counter % _CHECK_TICKS == 0:
            close_overdue(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn waits until all answers have ended, which streams would not."""
        self._end_streams()
        await super().shutdown(sockets)


def serve(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot | None) -> None:
    """Serves until SIGTERM or SIGINT, and returns at most `shutdown_s` later. To be called in the main thread.

    `slot`: that of this worker process, None if it is the only one.
    """
    app = create_app(config, slot)
    observer: Observer = app.state.observer
    subscriptions: Subscriptions = app.state.subscriptions
    connections = Connections(
        config.connections_max, per_address=config.connections_per_address_max, streams=subscriptions.__len__
    )
    wire = partial(Wire, on_refused=observer.refused_on_the_wire, connections=connections)
    server = Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=cast(Any, wire),  # Typed as a class, used as a factory.
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            # Its warnings are about what clients send, which the access log has, and advise to install WebSockets.
            log_level="error",
            server_header=False,
            # The address of the client is not used.
            proxy_headers=False,
            timeout_keep_alive=limits.IDLE_S,
            timeout_graceful_shutdown=config.shutdown_s,
        ),
        observer.metrics,
        slot,
        subscriptions.end,
    )
    observer.metrics.watch(observer.metrics.connections, lambda: len(server.server_state.connections))
    _allow_files(config.connections_max + config.subscribers_max + limits.SPARE_CONNECTIONS + limits.OTHER_FILES_MAX)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again for the previous handlers, which would report a failure: so they are replaced.
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    if slot is not None:
        # The parent blocked them before it started this process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, previous)
    try:
        server.run(list(listeners))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def tune_collector() -> None:
    """Collects for what stays, not for what comes and goes, and leaves out what the process needs anyway.

    An event to a thousand streams takes some thousand objects at a time, which are freed without the collector. Its
    defaults count them nevertheless, so that each thirtieth event waited for a full collection of 0.1 s. With these
    thresholds, too, 80 000 objects that stay make one due.
    """
    gc.freeze()
    gc.set_threshold(20_000, 1, 1)


def _allow_files(number: int) -> None:
    """Raises the soft limit of open files, often 1024, to `number`; each connection is one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
