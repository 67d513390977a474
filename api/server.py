"""Runs the API in this process."""

import signal

import uvicorn

from api.app import create_app
from api.config import ApiConfig


def serve(config: ApiConfig) -> None:
    """Returns after SIGTERM or SIGINT, at the latest `shutdown_s` later. For the main thread.

    Raises SystemExit if the address cannot be bound.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(config),
            host=config.host,
            port=config.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=config.shutdown_s,
        )
    )
    # uvicorn raises the signal again when it is done, for the handlers from before; being stopped is no failure.
    before = {number: signal.signal(number, _done) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _done(number: int, frame: object) -> None:
    pass
