"""The health port: `/health/live`, `/health/ready` and `/metrics`, served by a thread, even while the loop is stuck."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any, Protocol

import msgspec
import structlog

from projector.errors import BadSetting

# How long a client may take to send its request, and to read the answer, in seconds.
CLIENT_S = 5.0
# Concurrent clients; further connections are closed.
CLIENTS_MAX = 16

log = structlog.get_logger("projector")


class Pulse(Protocol):
    """Of the projector, or of a relay."""

    def is_live(self) -> bool: ...

    def problems(self) -> Sequence[str]: ...


class Metrics(Protocol):
    def text(self, accept: str) -> tuple[bytes, str]: ...


def check_port(setting: str, host: str, port: int, remedy: str) -> None:
    """Raises BadSetting where the port cannot be opened. `setting`: the prefix of its names, as in API_PORT."""
    try:
        with socket.create_server((host, port), family=family(host)):
            pass
    except OSError as error:
        raise bad_port(setting, host, port, error, remedy) from None


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bad_port(setting: str, host: str, port: int, error: OSError, remedy: str) -> BadSetting:
    # An unknown host name; create_server raises an OSError whose number is no errno.
    if isinstance(error, socket.gaierror) or (error.errno or 0) < 0:
        return BadSetting(f"{setting}_HOST: expected an address of this machine, got {host!r}: {error}")
    reason = os.strerror(error.errno or 0)
    return BadSetting(f"{setting}_PORT: cannot listen on {host}:{port} ({reason}): {remedy}")


@contextmanager
def health_port(
    host: str, port: int | None, pulse: Pulse, metrics: Metrics, setting: str = "PROJECTOR_PORT"
) -> Iterator[None]:
    """Serves the port within the block, if there is one. Raises BadSetting."""
    if port is None:
        yield
        return
    try:
        server = _Server((host, port), pulse, metrics)
    except OSError as error:
        raise bad_port(setting.removesuffix("_PORT"), host, port, error, f"set another {setting}, or none") from None
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pulse: Pulse, metrics: Metrics) -> None:
        self.address_family = family(address[0])
        self.pulse = pulse
        self.metrics = metrics
        self._slots = BoundedSemaphore(CLIENTS_MAX)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Does not resolve our own name, unlike HTTPServer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs errors other than clients that hung up or timed out."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("the health port failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_S
    server_version = "projector"
    sys_version = ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/health/live":
                self._send_health("live", [] if self.server.pulse.is_live() else ["the loop is stuck"])
            case "/health/ready":
                self._send_health("ready", self.server.pulse.problems())
            case "/metrics":
                self._send(200, *self.server.metrics.text(self.headers.get("Accept", "")))
            case _:
                self._send(404, b'{"type":"not_found"}')

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: health checks come every few seconds."""

    def _send_health(self, what: str, problems: Sequence[str]) -> None:
        if problems:
            self._send(503, msgspec.json.encode({"status": f"not {what}", "reasons": problems}))
        else:
            self._send(200, msgspec.json.encode({"status": what}))

    def _send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
