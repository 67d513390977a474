"""Header names as text. Kafka declares them UTF-8, but accepts any bytes.

A byte that is not valid UTF-8 is mapped to one of the 128 private-use characters from U+10FE80. JSON, msgpack and Redis
accept these, but not the lone surrogates that Python uses for such bytes. Where a name contains one of the 128
characters, its four bytes are mapped in the same way, so that the mapping is reversible.
"""

import re

_SHIFT = 0x10FE00 - 0xDC00
_ESCAPED = re.compile("[\U0010fe80-\U0010feff]")
_TO_ESCAPES = {surrogate: surrogate + _SHIFT for surrogate in range(0xDC80, 0xDD00)}
_TO_SURROGATES = {escape: surrogate for surrogate, escape in _TO_ESCAPES.items()}


def name_of(raw: bytes) -> str:
    """Returns the text for a name of any bytes."""
    text = raw.decode(errors="surrogateescape")
    if text.isascii():
        return text
    escaped = _ESCAPED.sub(lambda found: "".join(chr(0xDC00 + byte) for byte in found[0].encode()), text)
    return escaped.translate(_TO_ESCAPES)


def bytes_of(name: str) -> bytes:
    """Returns the bytes of a name; the inverse of `name_of`."""
    return name.translate(_TO_SURROGATES).encode(errors="surrogateescape")


def is_utf8(name: str) -> bool:
    """Whether `bytes_of(name)` is UTF-8."""
    if name.isascii() or not _ESCAPED.search(name):
        return True
    try:
        bytes_of(name).decode()
    except UnicodeDecodeError:
        return False
    return True
