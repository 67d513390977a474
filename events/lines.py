"""CloudEvents as JSON lines, to and from files."""

from collections.abc import Iterator
from typing import BinaryIO

from events.decode import EVENT_BYTES_MAX
from events.errors import InvalidEvent
from events.log import Entry
from events.publisher import entry_of


def read_lines(file: BinaryIO) -> Iterator[tuple[int, Entry | InvalidEvent]]:
    """Each line's number, from 1, with its record or what is wrong with it. Blank lines are passed over."""
    number = 0
    # One byte more than an event may have shows that it is too long, without reading a whole endless line.
    while line := file.readline(EVENT_BYTES_MAX + 2):
        number += 1
        text = line.strip()
        if len(text) > EVENT_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = file.readline(EVENT_BYTES_MAX)
            yield number, InvalidEvent("$", f"expected at most {EVENT_BYTES_MAX} bytes, got more")
        elif text:
            try:
                yield number, entry_of(text)
            except InvalidEvent as problem:
                yield number, problem
