"""Walks: the mark of the next page, in the body and as a link. Pure."""

from urllib.parse import unquote_plus

from projector.readmodel.query.mark import Mark, encoded

# Bytes of a target beyond which there is no link: clients limit the headers of an answer.
LINKED_BYTES_MAX = 4096


def next_part(mark: Mark | None) -> bytes:
    """Returns the part of the body behind `limit`. `mark`: None at the end of the walk."""
    return b',"next":%b' % (b"null" if mark is None else b'"%b"' % encoded(mark).encode())


def link(mark: Mark | None, path: bytes, query: bytes) -> dict[str, str]:
    """Returns the header. `path`, `query`: as sent, but for `>`, at which the target would end."""
    if mark is None or len(path) + len(query) > LINKED_BYTES_MAX:
        return {}
    pairs = [pair for pair in query.decode("latin-1").split("&") if unquote_plus(pair.partition("=")[0]) != "after"]
    target = f"{path.decode('latin-1')}?{'&'.join([*pairs, f'after={encoded(mark)}'])}"
    return {"Link": f'<{target.replace(">", "%3E")}>; rel="next"'}
