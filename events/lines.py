"""Records as JSON lines, to and from files.

A line is a CloudEvent in JSON, or, for a record that no such line could stand for, the record itself:

{"$record": {"position": "orders/0@17", "timestamp_ms": 1780308000000,
             "key": null, "value": "AAAA", "headers": [["trace", "/w=="]]}}

without line breaks, with key, value and the headers' values in base64, and the headers' names as header_names.py has
them. `position` and `timestamp_ms` tell where it came from; the log that gets it gives it others. No CloudEvent begins
so: `$` cannot be in an attribute's name.
"""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct, field

from events.contract.decode import EVENT_BYTES_MAX, decode, is_binary
from events.errors import InvalidEvent
from events.logs.header_names import bytes_of
from events.logs.log import Entry, Headers, Record
from events.publisher import entry_of

# The largest record that can be published, in bytes with its key and headers: Kafka takes as much in the topics that
# we make, and uses up to 1 KiB, and for each header 10 bytes, for itself.
RECORD_BYTES_MAX = EVENT_BYTES_MAX + 63 * 1024
# The longest line with a record of that size: base64 makes four bytes of three.
RECORD_LINE_BYTES_MAX = 2 * 1024 * 1024

_RECORD = b'{"$record":'


class _Record(Struct, forbid_unknown_fields=True, kw_only=True):
    position: str | None = None
    timestamp_ms: int | None = None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class _Line(Struct, forbid_unknown_fields=True):
    record: _Record = field(name="$record")


_lines = msgspec.json.Decoder(_Line)


def read_lines(file: BinaryIO) -> Iterator[tuple[int, Entry | InvalidEvent]]:
    """Each line's number, from 1, with its record or what is wrong with it. Blank lines are passed over."""
    number = 0
    # Two bytes more than an event may have are its line end, or show that it is too long without reading it all.
    while line := file.readline(EVENT_BYTES_MAX + 2):
        number += 1
        bytes_max = EVENT_BYTES_MAX
        if len(line) == bytes_max + 2 and is_record(line):
            bytes_max = RECORD_LINE_BYTES_MAX
            line += b"" if line.endswith(b"\n") else file.readline(bytes_max + 2 - len(line))
        cut = len(line) == bytes_max + 2 and not line.endswith(b"\n") and _passes_over_more(file)
        text = line.strip()
        if cut or len(text) > bytes_max:
            yield number, InvalidEvent("$", f"expected at most {bytes_max} bytes, got more")
        elif text:
            try:
                yield number, _entry_of_record(text) if is_record(text) else entry_of(text)
            except InvalidEvent as problem:
                yield number, problem


def line_of(record: Record) -> bytes:
    """A line, without its end, from which `read_lines` makes an entry that stands for the record in every fold.

    A structured event on one line is that line, byte for byte; a good event in another form becomes one. Their keys
    and headers are not kept: the entry has the group's id as its key. What is not an event of the contract is kept
    as it is, for the reason why it is none may lie anywhere in it.
    """
    value = record.value
    try:
        order = decode(value, record.headers)
    except InvalidEvent:
        return _whole(record)
    assert value is not None, "decode takes no record without a value"
    is_line = not is_binary(record.headers) and b"\n" not in value and value == value.strip() and not is_record(value)
    if order is None:
        return value if is_line and record.key is None else _whole(record)
    if is_line:
        return value
    line = _structured(record) if is_binary(record.headers) else msgspec.json.format(value, indent=-1)
    try:
        # The envelope takes bytes and a level of nesting, and may take what is good over an edge.
        return line if decode(line) == order and not is_record(line) else _whole(record)
    except InvalidEvent:
        return _whole(record)


def is_record(line: bytes) -> bool:
    """Whether a line is a record as it was, not an event."""
    return line.startswith(_RECORD)


def is_too_large(record: Record, line: bytes) -> bool:
    """Whether the line of a record as it was is one that `read_lines` refuses."""
    return _bytes(record) > RECORD_BYTES_MAX or len(line) > RECORD_LINE_BYTES_MAX


def _structured(record: Record) -> bytes:
    """A good event in the binary mode, with all its attributes, and the JSON of its data as it is written."""
    attributes: dict[str, str | Raw] = {}
    for name, value in record.headers:
        if name.startswith("ce_") and name != "ce_data":
            attributes[name[3:]] = value.decode()
        elif name.lower() == "content-type":
            attributes["datacontenttype"] = value.decode(errors="replace")
    attributes["data"] = Raw(msgspec.json.format(record.value or b"", indent=-1))
    return msgspec.json.encode(attributes)


def _whole(record: Record) -> bytes:
    return msgspec.json.encode(
        _Line(
            _Record(
                position=str(record),
                timestamp_ms=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        )
    )


def _entry_of_record(line: bytes) -> Entry:
    try:
        found = _lines.decode(line).record
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEvent(
            "$", f"expected a record as `projector export` writes it, got one that is not: {error}"
        ) from None
    entry = Entry(found.key, found.value, found.headers)
    if _bytes(entry) > RECORD_BYTES_MAX:
        raise InvalidEvent("$", f"expected a record of at most {RECORD_BYTES_MAX} bytes, got {_bytes(entry)}")
    return entry


def _bytes(record: Record | Entry) -> int:
    headers = sum(len(bytes_of(name)) + len(value) + 10 for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _passes_over_more(file: BinaryIO) -> bool:
    """Reads to the end of the line; tells whether there was more of it."""
    more = False
    while rest := file.readline(EVENT_BYTES_MAX):
        more = True
        if rest.endswith(b"\n"):
            break
    return more
