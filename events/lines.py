"""Records as JSON lines, to and from files.

A line is a CloudEvent in JSON. A record that cannot be written as such a line is written as an object:

{"$record": {"position": "orders/0@17", "timestamp_ms": 1780308000000,
             "key": null, "value": "AAAA", "headers": [["trace", "/w=="]]}}

without line breaks, with key, value and header values in base64, and header names as in header_names.py. `position` and
`timestamp_ms` are informative: the log to which the record is published assigns new ones. No CloudEvent begins like
this: attribute names cannot contain `$`.
"""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct, field

from events.contract.decode import EVENT_BYTES_MAX, decode, is_binary
from events.errors import InvalidEvent
from events.logs.header_names import bytes_of
from events.logs.log import Entry, Headers, Record
from events.publisher import entry_of, unchecked_entry_of

# The largest record that can be published, in bytes with key and headers. Topics that we create accept 1 KiB more:
# Kafka itself uses up to that, and 10 bytes per header.
RECORD_BYTES_MAX = EVENT_BYTES_MAX + 63 * 1024
# The longest line with such a record: base64 turns three bytes into four.
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


def read_lines(file: BinaryIO, *, checked: bool = True) -> Iterator[tuple[int, Entry | InvalidEvent]]:
    """Yields each line's number, from 1, with its record or its error. Skips blank lines.

    Without `checked`, a line that is no valid event is a record as well; only one that is too long is an error.
    """
    number, to_entry = 0, entry_of if checked else unchecked_entry_of
    # Two extra bytes hold the line end, or show that the line is too long without reading all of it.
    while line := file.readline(EVENT_BYTES_MAX + 2):
        number += 1
        bytes_max = EVENT_BYTES_MAX
        if len(line) == bytes_max + 2 and is_record(line):
            bytes_max = RECORD_LINE_BYTES_MAX
            line += b"" if line.endswith(b"\n") else file.readline(bytes_max + 2 - len(line))
        cut = len(line) == bytes_max + 2 and not line.endswith(b"\n") and _skips_rest_of_line(file)
        text = line.strip()
        if cut or len(text) > bytes_max:
            yield number, InvalidEvent("$", f"expected at most {bytes_max} bytes, got more")
        elif text:
            try:
                yield number, _entry_of_record(text) if is_record(text) else to_entry(text)
            except InvalidEvent as problem:
                yield number, problem


def line_of(record: Record) -> bytes:
    """Returns a line, without line end, that `read_lines` turns into an entry with the same result in the fold.

    A valid structured event on one line stays byte for byte the same; other valid events are converted to that form.
    Their keys and headers are dropped: the entry's key is the group's id. An invalid event is kept as a whole record,
    because any part of it may be what makes it invalid.
    """
    value = record.value
    try:
        order = decode(value, record.headers)
    except InvalidEvent:
        return _whole(record)
    assert value is not None, "decode raises for a record without a value"
    is_line = not is_binary(record.headers) and b"\n" not in value and value == value.strip() and not is_record(value)
    if order is None:
        return value if is_line and record.key is None else _whole(record)
    if is_line:
        return value
    line = _structured(record) if is_binary(record.headers) else msgspec.json.format(value, indent=-1)
    try:
        # The envelope adds bytes and a nesting level, which may exceed a limit of the contract.
        return line if decode(line) == order and not is_record(line) else _whole(record)
    except InvalidEvent:
        return _whole(record)


def is_record(line: bytes) -> bool:
    """Whether a line is a whole record, not an event."""
    return line.startswith(_RECORD)


def is_too_large(record: Record, line: bytes) -> bool:
    """Whether `read_lines` would refuse the line of a whole record."""
    return _bytes(record) > RECORD_BYTES_MAX or len(line) > RECORD_LINE_BYTES_MAX


def _structured(record: Record) -> bytes:
    """Converts a valid event from binary to structured mode, with all attributes and its data unchanged."""
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
        raise InvalidEvent("$", f"expected a record as written by `projector export`: {error}") from None
    entry = Entry(found.key, found.value, found.headers)
    if _bytes(entry) > RECORD_BYTES_MAX:
        raise InvalidEvent("$", f"expected a record of at most {RECORD_BYTES_MAX} bytes, got {_bytes(entry)}")
    return entry


def _bytes(record: Record | Entry) -> int:
    headers = sum(len(bytes_of(name)) + len(value) + 10 for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _skips_rest_of_line(file: BinaryIO) -> bool:
    """Skips the rest of the line. Returns whether there was any."""
    more = False
    while rest := file.readline(EVENT_BYTES_MAX):
        more = True
        if rest.endswith(b"\n"):
            break
    return more
