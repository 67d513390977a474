"""A proxy between a projector and a real Redis that breaks the connection, or stops answering, during commits."""

import random
import socket
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from projector.store.commit import COMMIT

# Longer than the time limit of a call, in seconds.
SILENCE_S = 2.5
# Faults: the request is truncated, the connection breaks after the request, or the answer is truncated.
KINDS, WEIGHTS = ("request cut off", "cut off at once", "answer cut off"), (1, 1, 3)
# One in so many faults is a missing answer instead, which takes longest.
SILENT = 40
BYTES = 65536


class Proxy:
    """`happened` counts faults; `read` and `unread` count outcomes that the projector received, and did not."""

    def __init__(self, redis_url: str, share: float, seed: int) -> None:
        parts = urlsplit(redis_url)
        self._redis = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._share = share
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self.happened: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._sockets:
                _hang_up(one)
        for thread in self._threads:
            thread.join()

    def _start(self, *call: object) -> None:
        target, *arguments = call
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._ends.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Forwards one request at a time, as redis-py sends them."""
        with client, suppress(OSError), socket.create_connection(self._redis) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {client, server}
            try:
                while not self._ends.is_set() and (request := client.recv(BYTES)):
                    request += _rest_of(client, request)
                    if not self._forward(request, client, server):
                        return
            finally:
                with self._lock:
                    self._sockets -= {client, server}

    def _forward(self, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Returns whether the connection stays open."""
        is_commit = COMMIT.digest.encode() in request[:200]
        fault = None
        if is_commit and self._chance.random() < self._share:
            (fault,) = self._chance.choices(KINDS, WEIGHTS)
            if self.happened.total() % SILENT == SILENT // 2:
                fault = "silence"
            self.happened[fault] += 1
        if fault == "request cut off":
            server.sendall(request[: self._chance.randrange(1, len(request))])
            return False
        server.sendall(request)
        if fault == "cut off at once":
            return False
        answer = _answer(server)
        if fault:
            self.unread[_word(answer)] += 1
        elif is_commit:
            self.read[_word(answer)] += 1
        if fault == "answer cut off":
            client.sendall(answer[: self._chance.randrange(len(answer))])
            return False
        if fault == "silence":
            self._ends.wait(SILENCE_S)
            return False
        client.sendall(answer)
        return True


def _rest_of(client: socket.socket, request: bytes) -> bytes:
    """Reads the rest of the request: a command is an array of strings, each with its length."""
    found = request
    while not _is_whole(found):
        more = client.recv(BYTES)
        if not more:
            raise OSError("gone")
        found += more
    return found[len(request) :]


def _is_whole(found: bytes) -> bool:
    """Whether it ends with a complete command."""
    at = 0
    while at < len(found):
        end = found.find(b"\r\n", at)
        if end < 0:
            return False
        number, at = int(found[at + 1 : end]), end + 2
        for _ in range(number):
            end = found.find(b"\r\n", at)
            if end < 0:
                return False
            at = end + 2 + int(found[at + 1 : end]) + 2
            if at > len(found):
                return False
    return True


def _answer(server: socket.socket) -> bytes:
    """Reads a whole answer."""
    found = b""
    while not found or _value_end(found, 0) is None:
        more = server.recv(BYTES)
        if not more:
            raise OSError("gone")
        found += more
    return found


def _value_end(found: bytes, at: int) -> int | None:
    """Returns the end of the value that begins at `at`; None while it is incomplete."""
    end = found.find(b"\r\n", at)
    if end < 0:
        return None
    kind, number, at = found[at : at + 1], found[at + 1 : end], end + 2
    if kind == b"$" and int(number) >= 0:
        at += int(number) + 2
        return at if at <= len(found) else None
    if kind in (b"*", b"~", b"%"):
        for _ in range(int(number) * (2 if kind == b"%" else 1)):
            ends = _value_end(found, at)
            if ends is None:
                return None
            at = ends
    return at


def _word(answer: bytes) -> str:
    lines = answer.split(b"\r\n")
    return lines[2].decode() if len(lines) > 2 else answer.decode(errors="replace")


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
