"""Runs the API in this process."""

import asyncio
import resource
import signal
from functools import partial
from typing import Any, cast

import uvicorn

from api import limits
from api.app import create_app
from api.config import ApiConfig
from api.observe import Observer
from api.wire import Wire, look

# uvicorn ticks ten times a second.
_LOOK_TICKS = round(limits.LOOK_S * 10)


class Server(uvicorn.Server):
    """Ends connections that last too long."""

    async def on_tick(self, counter: int) -> bool:
        if counter % _LOOK_TICKS == 0:
            look(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)


def serve(config: ApiConfig) -> None:
    """Returns after SIGTERM or SIGINT, at the latest `shutdown_s` later. For the main thread.

    Raises SystemExit if the address cannot be bound.
    """
    app = create_app(config)
    observer: Observer = app.state.observer
    wire = partial(Wire, on_refused=observer.refused_on_the_wire, connections_max=config.connections_max)
    server = Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            loop="uvloop",
            http=cast(Any, wire),  # uvicorn says a class, and calls it.
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=limits.IDLE_S,
            timeout_graceful_shutdown=config.shutdown_s,
        )
    )
    observer.metrics.connections.set_function(lambda: len(server.server_state.connections))
    _allow_files(config.connections_max + limits.OTHER_FILES_MAX)
    # uvicorn raises the signal again when it is done, for the handlers from before; being stopped is no failure.
    before = {number: signal.signal(number, _done) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _allow_files(number: int) -> None:
    """Many systems give a process 1024 files unless it asks for more; each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _done(number: int, frame: object) -> None:
    pass
