"""Runs the API in this process."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn

from api.app import create_app
from api.config import ApiConfig
from api.http import limits
from api.http.connections import Connections
from api.http.wire import Wire, look
from api.http.worker_slot import WorkerSlot
from api.middleware.metrics import Metrics
from api.middleware.observe import Observer

# uvicorn ticks ten times a second.
_LOOK_TICKS = round(limits.LOOK_S * 10)

_log = structlog.get_logger("api")


class Server(uvicorn.Server):
    """Ends connections that last too long. At a slot it tells how it is, and ends when its parent is gone."""

    def __init__(self, config: uvicorn.Config, metrics: Metrics, slot: WorkerSlot | None) -> None:
        super().__init__(config)
        self._metrics = metrics
        self._slot = slot

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._slot is not None:
            self._slot.take()
            _log.info("serving", worker=self._slot.number, process=os.getpid())

    async def on_tick(self, counter: int) -> bool:
        if self._slot is not None:
            self._metrics.look()
            self.should_exit |= self._slot.is_orphaned
        if counter % _LOOK_TICKS == 0:
            look(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)


def serve(config: ApiConfig, listeners: Sequence[socket.socket], slot: WorkerSlot | None) -> None:
    """Returns after SIGTERM or SIGINT, at the latest `shutdown_s` later. For the main thread.

    `slot`: where this process is one of several.
    """
    app = create_app(config, slot)
    observer: Observer = app.state.observer
    places = Connections(config.connections_max, per_address=config.connections_per_address_max)
    wire = partial(Wire, on_refused=observer.refused_on_the_wire, places=places)
    server = Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=cast(Any, wire),  # uvicorn says a class, and calls it.
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            # Nothing here asks who the client is.
            proxy_headers=False,
            timeout_keep_alive=limits.IDLE_S,
            timeout_graceful_shutdown=config.shutdown_s,
        ),
        observer.metrics,
        slot,
    )
    observer.metrics.watch(observer.metrics.connections, lambda: len(server.server_state.connections))
    _allow_files(config.connections_max + limits.SPARE_CONNECTIONS + limits.OTHER_FILES_MAX)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again when it is done, for the handlers from before; being stopped is no failure.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    if slot is not None:
        # Until now they had to wait.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
    try:
        server.run(list(listeners))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _allow_files(number: int) -> None:
    """Many systems give a process 1024 files unless it asks for more; each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
