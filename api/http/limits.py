"""The limits of a client in bytes, connections and time, and the check of a request's head.

`Wire` enforces those of incomplete requests: time, bytes of the head, connections (connections.py); `Gate`, after the
credentials, those of a head: length of the URL, headers, no body; `Admission` the number of requests and their time.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Longest request target (path and query) in bytes; httptools' offsets have 16 bits.
URL_BYTES_MAX = 64 * 1024 - 1
# Key in the scope of a request whose target was truncated to that: its length. `Gate` refuses it after the credentials.
URL_BYTES_KEY = "order_groups.url_bytes"
# Bytes of all headers of a request together, as sent.
HEADERS_BYTES_MAX = 64 * 1024
# Number of headers of a request. A browser behind three proxies sends thirty.
HEADERS_MAX = 100
# Bytes of a head after which the connection is refused, credentials or not.
HEAD_BYTES_MAX = URL_BYTES_MAX + HEADERS_BYTES_MAX

# Seconds to send the head of a request, from its first byte; for the first request from the connection.
RECEIVE_S = 8.0
# Seconds between two checks of all connections: an overdue one is closed so much later at most.
CHECK_S = 1.0
# Seconds that a connection may be idle between two requests.
IDLE_S = 5
# Seconds to read the part of an answer beyond the buffers of the kernel. The longest pages have a few megabytes.
SEND_S = 30.0
# Seconds that a refused client gets to read the answer, while its input is discarded.
LINGER_S = 1.0

# Open connections; each needs a file and about ten kilobytes.
CONNECTIONS_MAX = 2000
# Open connections from one address; 0: no limit, since behind a proxy all have one address.
CONNECTIONS_PER_ADDRESS_MAX = 0
# Open streams of changes. They come on top of CONNECTIONS_MAX, so that they take no other client's place.
SUBSCRIBERS_MAX = 2000
# Connections beyond CONNECTIONS_MAX. Only paths that need no credentials are answered on them.
SPARE_CONNECTIONS = 100
# Key in the scope of a request: its `Wire`, while the connection is anonymous: see connections.py.
WIRE_KEY = "order_groups.wire"
# Open files besides connections of clients: to Redis, the log, those of the interpreter.
OTHER_FILES_MAX = 100
# Pipelined requests on one connection that wait for an earlier answer.
PIPELINE_MAX = 50

# Concurrent requests. Redis runs one command at a time: more requests would wait longer than clients do.
CONCURRENCY_MAX = 200
# Exports that are sent at a time, by one process. Each takes a part of a processor, here and of Redis, and some 10 MB.
EXPORTS_MAX = 4
# Milliseconds from the start of a request to the start of its answer.
REQUEST_TIMEOUT_MS = 5000

_LINE_BYTES = len(": \r\n")


class Refusal(NamedTuple):
    """`reason` is the value in metrics and access log; `status`, `kind` and `message` are the answer."""

    reason: str
    status: int
    kind: str
    message: str


BAD_REQUEST = Refusal("protocol", 400, "invalid_data", "Expected an HTTP/1.1 request")
TOO_SLOW = Refusal("receive_timeout", 408, "invalid_data", f"Expected a request within {RECEIVE_S:g} s")
TOO_MANY_CONNECTIONS = Refusal("connections", 503, "unavailable", "Too many connections. Try again.")
TOO_MANY_OF_ADDRESS = Refusal("address", 503, "unavailable", "Too many connections from this address. Try again.")
# Closed without an answer, in favour of another connection.
EVICTED = Refusal("gave_way", 503, "unavailable", "")
HEADERS_TOO_LARGE = Refusal(
    "headers", 431, "invalid_data", f"Expected at most {HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes together"
)
BODY_NOT_WANTED = Refusal("body", 413, "invalid_data", "Expected a request without a body")


def url_too_long(bytes_max: int) -> Refusal:
    return Refusal("url", 414, "invalid_data", f"Expected a URL of at most {bytes_max} bytes")


def refused(
    method: str, url_bytes: int, headers: Iterable[tuple[bytes, bytes]], url_bytes_max: int = URL_BYTES_MAX
) -> Refusal | None:
    """Returns why a request is refused by its head, None if it is not. Pure.

    `headers` have lower-case names. A body is refused for GET and HEAD.
    """
    if url_bytes > url_bytes_max:
        return url_too_long(url_bytes_max)
    number, size, has_body = 0, 0, False
    for name, value in headers:
        number += 1
        size += len(name) + len(value) + _LINE_BYTES
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b""):
            has_body = True
    if number > HEADERS_MAX or size > HEADERS_BYTES_MAX:
        return HEADERS_TOO_LARGE
    return BODY_NOT_WANTED if has_body and method in ("GET", "HEAD") else None
