"""What a client may take of us: bytes, connections, time. Each limit with its unit, and the check of a request's head.

Who enforces what:

`Wire`       what must be stopped while it still arrives: time, bytes of the head, connections (connections.py)
`Gate`       what is told to those with credentials: the length of the URL, headers, a body
`Admission`  requests at a time, and the time for each
"""

from collections.abc import Iterable
from typing import NamedTuple

# Longest request target (path and query) in bytes; httptools' offsets have 16 bits.
URL_BYTES_MAX = 64 * 1024 - 1
# In the scope of a request whose target was cut there: how long it was. It is refused, but credentials come first.
URL_BYTES_KEY = "order_groups.url_bytes"
# All headers of a request together, in bytes as they were sent.
HEADERS_BYTES_MAX = 64 * 1024
# Headers of a request, in number. A browser behind three proxies sends thirty.
HEADERS_MAX = 100
# Bytes of a head that are read before the connection is refused. Below it, credentials are asked first.
HEAD_BYTES_MAX = URL_BYTES_MAX + HEADERS_BYTES_MAX

# Seconds to deliver the head of a request, from its first byte, or from the connection where that is younger.
RECEIVE_S = 8.0
# Seconds between two looks at all connections: what lasts too long ends so much later at most.
LOOK_S = 1.0
# Seconds that a connection may be idle between two requests.
IDLE_S = 5
# Seconds to read what does not fit into the buffers of the kernel. The longest pages have some megabytes.
SEND_S = 30.0
# Seconds in which a client may read why it was refused, while what it still sends is thrown away.
LINGER_S = 1.0

# Connections at a time; each costs a file and some ten kilobytes.
CONNECTIONS_MAX = 2000
# Of them from one address; 0: no limit of its own, since behind a proxy all come from one address.
CONNECTIONS_PER_ADDRESS_MAX = 0
# Connections beyond CONNECTIONS_MAX. Only the paths that are open to all are answered on them.
SPARE_CONNECTIONS = 100
# The key of a request's `Wire` in its scope, as long as the connection is not known: see connections.py.
WIRE_KEY = "order_groups.wire"
# Files that are no connections: to Redis, the log, the interpreter's own.
OTHER_FILES_MAX = 100
# Requests on one connection that wait for the answer of an earlier one, in number.
PIPELINE_MAX = 50

# Requests at work at a time. Redis serves one at a time: more would only wait longer than a client does.
CONCURRENCY_MAX = 200
# How long one request may take until its answer begins, in milliseconds.
REQUEST_TIMEOUT_MS = 5000

_LINE_BYTES = len(": \r\n")


class Refusal(NamedTuple):
    """`reason` names it in metrics and in the access log; the other three are the answer."""

    reason: str
    status: int
    kind: str
    message: str


BAD_REQUEST = Refusal("protocol", 400, "invalid_data", "Expected an HTTP/1.1 request")
TOO_SLOW = Refusal("receive_timeout", 408, "invalid_data", f"Expected a request within {RECEIVE_S:g} s")
TOO_MANY_CONNECTIONS = Refusal("connections", 503, "unavailable", "Too many connections. Try again.")
TOO_MANY_OF_ADDRESS = Refusal("address", 503, "unavailable", "Too many connections from this address. Try again.")
# Closed without an answer, to make room for another connection.
GAVE_WAY = Refusal("gave_way", 503, "unavailable", "")
HEADERS_TOO_LARGE = Refusal(
    "headers", 431, "invalid_data", f"Expected at most {HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes together"
)
BODY_NOT_WANTED = Refusal("body", 413, "invalid_data", "Expected a request without a body")


def url_too_long(bytes_max: int) -> Refusal:
    return Refusal("url", 414, "invalid_data", f"Expected a URL of at most {bytes_max} bytes")


def refused(
    method: str, url_bytes: int, headers: Iterable[tuple[bytes, bytes]], url_bytes_max: int = URL_BYTES_MAX
) -> Refusal | None:
    """Pure. `headers` have lower-case names. A body is refused where it means nothing: GET and HEAD."""
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
