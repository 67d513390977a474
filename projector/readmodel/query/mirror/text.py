"""The lines of a shard's groups, chunk by chunk, and searches in them. Pure.

The chunks are not joined: to search 8 000 of 7 kB one by one takes hardly longer than to search them as a whole, and a
chunk that changes is replaced alone. A search is kept, so that a retry, or the next page, searches only what it has not
searched, or what changed since.
"""

from itertools import accumulate

from stringzilla import find

from projector.readmodel.schema.ordinals import LINES

# Before the customer id of a group, and after its line: each occurs once in a line, and never in UTF-8.
MIDDLE, END = b"\xfe", b"\xff"
EMPTY = END * LINES
# Bytes of the bits of a chunk.
CHUNK_BITS = LINES // 8
# Kept searches; each takes a bit a group.
SEARCHES_MAX = 8

_NOWHERE, _EVERYWHERE = bytes(CHUNK_BITS), END * CHUNK_BITS


class Text:
    """Has all that the commit `number` with `digest` wrote, and all before it. Single lines may be newer."""

    __slots__ = ("_searches", "chunks", "digest", "number", "replaced")

    def __init__(self, number: int, digest: bytes, chunks: int) -> None:
        self.number = number
        self.digest = digest
        self.chunks = [EMPTY] * chunks
        # How often each chunk was replaced, counted from 1.
        self.replaced = [1] * chunks
        self._searches: dict[bytes, Search] = {}

    def replace(self, number: int, chunk: bytes | None) -> None:
        """`chunk`: as stored in Redis; None if it is not."""
        missing = number + 1 - len(self.chunks)
        self.chunks += [EMPTY] * missing
        self.replaced += [1] * missing
        self.chunks[number] = EMPTY if chunk is None else chunk
        self.replaced[number] += 1

    def search(self, needle: bytes) -> "Search":
        """Returns the kept search for the needle, or a new one."""
        search = self._searches.pop(needle, None) or Search(self, needle)
        self._searches[needle] = search
        if len(self._searches) > SEARCHES_MAX:
            del self._searches[next(iter(self._searches))]
        return search


class Search:
    """`bits`: a bit for each line, as in a Redis bitmap, of each chunk as it was when it was looked at last."""

    __slots__ = ("_needle", "_seen", "_text", "bits")

    def __init__(self, text: Text, needle: bytes) -> None:
        self._text = text
        self._needle = needle
        # How often each chunk was replaced when it was looked at last.
        self._seen: list[int] = []
        self.bits = bytearray()

    def look(self, first: int, end: int) -> None:
        """Searches those of the chunks from `first` until before `end` that changed since they were looked at last."""
        chunks, replaced, seen, needle = self._text.chunks, self._text.replaced, self._seen, self._needle
        missing = len(chunks) - len(seen)
        seen += [0] * missing
        self.bits += bytes(CHUNK_BITS * missing)
        for number in range(first, min(end, len(chunks))):
            if seen[number] == replaced[number]:
                continue
            chunk = chunks[number]
            found = _NOWHERE if find(chunk, needle) < 0 else lines_with(chunk, needle)
            self.bits[number * CHUNK_BITS : (number + 1) * CHUNK_BITS] = found
            seen[number] = replaced[number]


def lines_with(chunk: bytes, needle: bytes) -> bytes:
    """Returns a bit for each line of a chunk. The needle is not empty and has no 0xFF."""
    parts = chunk.split(needle)
    if len(parts) > LINES and LINES in (chunk.count(MIDDLE + needle), (END + chunk).count(END + needle)):
        # All ids, or customer ids, begin with it, as with the first letters of one: three times as fast.
        return _EVERYWHERE
    # Between two hits are as many ends of lines as lines from one to the other.
    ends = [part.count(END) for part in parts[:-1]]
    found = sum(1 << (LINES - 1 - place) for place in set(accumulate(ends)))
    return found.to_bytes(CHUNK_BITS, "big")
