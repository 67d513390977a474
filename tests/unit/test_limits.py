"""The limits of the head of a request."""

import pytest

from api.http.limits import BODY_NOT_WANTED, HEADERS_BYTES_MAX, HEADERS_MAX, HEADERS_TOO_LARGE, refused

Headers = list[tuple[bytes, bytes]]


def sized(size: int) -> Headers:
    """Returns one header of `size` bytes on the wire: name, colon, space, value, line end."""
    return [(b"x", b"v" * (size - 5))]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers", [[(b"content-length", b"1")], [(b"content-length", b"01")], [(b"transfer-encoding", b"chunked")]]
)
def test_a_body_of_get_and_head_is_refused(method: str, headers: Headers) -> None:
    assert refused(method, 1, headers) is BODY_NOT_WANTED
    assert refused("POST", 1, headers) is None


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")], [(b"content-length", b"000")]])
def test_an_empty_body_is_accepted(headers: Headers) -> None:
    assert refused("GET", 1, headers) is None


def test_a_url_one_byte_too_long() -> None:
    assert refused("GET", 10, [], 10) is None
    refusal = refused("GET", 11, [], 10)
    assert refusal
    assert (refusal.status, refusal.reason) == (414, "url")


def test_headers_by_size_and_by_number() -> None:
    assert refused("GET", 1, sized(HEADERS_BYTES_MAX)) is None
    assert refused("GET", 1, sized(HEADERS_BYTES_MAX + 1)) is HEADERS_TOO_LARGE
    assert refused("GET", 1, [(b"x", b"y")] * HEADERS_MAX) is None
    assert refused("GET", 1, [(b"x", b"y")] * (HEADERS_MAX + 1)) is HEADERS_TOO_LARGE
