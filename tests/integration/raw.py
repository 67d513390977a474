"""HTTP/1.1 as bytes on a socket, for malformed requests and exact answers."""

import json
import socket
import time
from typing import Any, NamedTuple

from tests.processes import token

AUTHORIZATION = f"Authorization: Bearer {token()}\r\n".encode()
LIST = "/admin/order-groups"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(target: str = LIST, headers: bytes = AUTHORIZATION, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode() + headers + b"\r\n"


class Connection:
    """Sends bytes and reads whole answers; None is the end of the connection."""

    def __init__(self, port: int, timeout_s: float = 15.0, source: str = "") -> None:
        """`source`: the local address to connect from; empty: any."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s, source_address=(source, 0))
        self._buffer = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_refused(self, piece: bytes, most: int) -> int:
        """Sends `piece` until the server has closed, or `most` bytes are sent. Returns the number of bytes sent."""
        sent = 0
        while sent < most:
            try:
                self.socket.sendall(piece)
            except OSError:
                break
            sent += len(piece)
        return sent

    def answer(self, head_only: bool = False) -> Answer | None:
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                assert self._buffer == b"", f"half an answer: {self._buffer!r}"
                return None
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if head_only else int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            assert self._more(), "half an answer"
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(int(status.split()[1]), headers, body)

    def got(self, head_only: bool = False) -> Answer:
        found = self.answer(head_only)
        assert found is not None, "closed without an answer"
        return found

    def seconds_until_closed(self) -> float:
        """Discards what is received before."""
        started = time.monotonic()
        while self._more():
            pass
        return time.monotonic() - started

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return data != b""
