"""A load generator for HTTP/1.1 on loopback: keep-alive connections, each with one request at a time."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
# Seconds to wait for the last responses.
_GRACE_S = 5.0


@dataclass
class Load:
    """`latencies`: seconds, sorted. `statuses`: status -> number of responses."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        return 1000 * self.latencies[int(share * (len(self.latencies) - 1))]


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load, deadline_s: float, done: "asyncio.Future[None]") -> None:
        self._request = request
        self._load = load
        self._deadline_s = deadline_s
        self._done = done
        self._received = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._received, 0, head)
        if len(self._received) < head + 4 + (int(length[1]) if length else 0):
            return
        now_s = time.perf_counter()
        self._load.latencies.append(now_s - self._sent_s)
        status = int(self._received[9:12])
        self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        self._received = b""
        if now_s < self._deadline_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)


def load(port: int, targets: Sequence[str], headers: Mapping[str, str], connections: int, seconds: float) -> Load:
    """Sends the n-th of `targets` (cyclic) repeatedly on the n-th connection to 127.0.0.1, for that many seconds.

    Raises TimeoutError if the last responses do not come.
    """
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items())
    requests = [f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode() for target in targets]

    async def run() -> Load:
        found = Load()
        started_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        ends = [loop.create_future() for _ in range(connections)]
        for request, end in zip(cycle(requests), ends, strict=False):
            client = partial(_Client, request, found, started_s + seconds, end)
            await loop.create_connection(client, "127.0.0.1", port)
        async with asyncio.timeout(seconds + _GRACE_S):
            await asyncio.gather(*ends)
        found.seconds = time.perf_counter() - started_s
        found.latencies.sort()
        return found

    return uvloop.run(run())
