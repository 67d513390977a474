"""Names of headers as text, whatever bytes they are: Kafka calls them UTF-8, and takes any.

In the text, a byte that is not part of UTF-8 is one of the 128 characters from U+10FE80, which Unicode leaves to
private use. So JSON, msgpack and Redis take the name as any other; none of them takes the lone surrogates that Python
has for such bytes. Where a name itself holds one of the 128, that character's four bytes are written in the same way,
so no two names become the same text.
"""

import re

_SHIFT = 0x10FE00 - 0xDC00
_ESCAPED = re.compile("[\U0010fe80-\U0010feff]")
_TO_ESCAPES = {surrogate: surrogate + _SHIFT for surrogate in range(0xDC80, 0xDD00)}
_TO_SURROGATES = {escape: surrogate for surrogate, escape in _TO_ESCAPES.items()}


def name_of(raw: bytes) -> str:
    """The text that stands for a name of any bytes."""
    text = raw.decode(errors="surrogateescape")
    if text.isascii():
        return text
    spelled = _ESCAPED.sub(lambda found: "".join(chr(0xDC00 + byte) for byte in found[0].encode()), text)
    return spelled.translate(_TO_ESCAPES)


def bytes_of(name: str) -> bytes:
    """The bytes that `name_of` made the text of."""
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
