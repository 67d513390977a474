"""The body of a request for an action. No other path has one: the bodies of other requests are discarded."""

from collections.abc import Collection

from starlette.requests import ClientDisconnect, Request

ACTIONS_PATH = "/admin/projector/actions"
# Bytes: a hundred positions in topics of the longest names. Below the size from which uvicorn pauses a connection.
BODY_BYTES_MAX = 32 * 1024


def has_body(method: str, path: str, headers: Collection[tuple[bytes, bytes]]) -> bool:
    """Returns whether a request has a body that is read: for an action, of known length, and not too long. Pure."""
    if method != "POST" or path != ACTIONS_PATH:
        return False
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers) or len(lengths) != 1:
        return False
    length = lengths[0].lstrip(b"0") or b"0"
    # Long ones are not parsed: `int` refuses thousands of digits.
    return length.isdigit() and len(length) <= len(str(BODY_BYTES_MAX)) and int(length) <= BODY_BYTES_MAX


async def read_body(request: Request) -> bytes | None:
    """Returns None for a body that is not read, or did not arrive."""
    if not has_body(request.method, request.scope["path"], request.scope["headers"]):
        return None
    try:
        return await request.body()
    except ClientDisconnect:
        return None
