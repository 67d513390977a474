"""Decodes a record's bytes into an OrderEvent: CloudEvents 1.0 in both content modes of its Kafka binding.

Structured: the value is the whole event. Binary: the attributes are record headers (`ce_id`, ...) and the
value is `data` alone. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import re
import sys
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from events.contract.complaint import complaint
from events.contract.order import Id, OrderCreated, OrderEvent, OrderUpdated, Time, order_event
from events.errors import InvalidEvent
from events.logs.header_names import bytes_of, is_utf8
from events.logs.log import UNREADABLE, Headers

EVENT_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
DIGITS_MAX = sys.int_info.default_max_str_digits

CREATED = "order.created"
UPDATED = "order.updated"


class Attributes(Struct, gc=False, kw_only=True):
    """The attributes that are read. Others are allowed and ignored."""

    specversion: Literal["1.0"]
    id: Id
    source: Annotated[str, Meta(min_length=1, max_length=2048, description="URI reference of the publisher")]
    type: Annotated[str, Meta(min_length=1, max_length=255)]
    time: Time | None = None


class Envelope(Attributes, gc=False, kw_only=True):
    data: Raw = Raw()


class Whole(Attributes, gc=False, kw_only=True):
    """Envelope and data in one. Every valid `order.created` is also valid as `order.updated`."""

    data: OrderUpdated


T = TypeVar("T")
# Source, id and data of an event.
Read = tuple[str, str, OrderCreated | OrderUpdated]

_anything = msgspec.json.Decoder()
_envelope = msgspec.json.Decoder(Envelope)
_whole = msgspec.json.Decoder(Whole)
_data: dict[str, msgspec.json.Decoder[Any]] = {
    CREATED: msgspec.json.Decoder(OrderCreated),
    UPDATED: msgspec.json.Decoder(OrderUpdated),
}


def decode(value: bytes | None, headers: Headers = ()) -> OrderEvent | None:
    """Returns the order event of a record; None for an event of another type. Raises InvalidEvent."""
    for name, _ in headers:
        if not is_utf8(name):
            raise InvalidEvent("$", f"expected UTF-8 in the names of headers, got {bytes_of(name)[:40]!r}")
    if value is None:
        unreadable = [why.decode(errors="replace") for name, why in headers if name == UNREADABLE]
        raise InvalidEvent("$", unreadable[0] if unreadable else "expected a CloudEvent, got a record without a value")
    if len(value) > EVENT_BYTES_MAX:
        raise InvalidEvent("$", f"expected at most {EVENT_BYTES_MAX} bytes, got {len(value)}")
    try:
        read = _at_once(value) if not headers or not is_binary(headers) else None
        if read is None:
            read = _step_by_step(value, headers)
            if read is None:
                return None
        _check_depth(value)
    except RecursionError:
        raise InvalidEvent("$", f"expected nesting of at most {DEPTH_MAX}, got more") from None
    source, event_id, data = read
    return order_event(data, tie_break(source, event_id))


def _at_once(value: bytes) -> Read | None:
    """Decodes a valid structured event in one pass. Returns None for anything else, which is decoded step by step."""
    try:
        if not value.isascii():
            value.decode()
        event = _whole.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    data = event.data
    if event.type == CREATED:
        complete = UNSET not in (data.created_at, data.seller_id, data.status) and data.total is not UNSET
        return (event.source, event.id, data) if complete else None
    return (event.source, event.id, data) if event.type == UPDATED else None


def _step_by_step(value: bytes, headers: Headers) -> Read | None:
    """Decodes the envelope, then its data. Returns None for another event type. Raises InvalidEvent."""
    envelope = _binary(value, headers) if is_binary(headers) else _structured(value)
    decoder = _data.get(envelope.type)
    if decoder is None:
        return None
    return envelope.source, envelope.id, _decoded(decoder, bytes(envelope.data), "$.data", envelope.type)


def type_of(value: bytes | None, headers: Headers) -> str:
    """Returns the type of an event that `decode` has accepted, whatever its type."""
    assert value is not None, "decode raises for a record without a value"
    return (_binary(value, headers) if is_binary(headers) else _structured(value)).type


def tie_break(source: str, event_id: str) -> int:
    """Returns a hash that orders events of equal version and time: arbitrary, but the same on every machine."""
    digest = blake2b(source.encode() + b"\0" + event_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _structured(value: bytes) -> Envelope:
    envelope = _decoded(_envelope, value, "$", None)
    if not bytes(envelope.data) and envelope.type in _data:
        raise InvalidEvent("$.data", f"required in {envelope.type}, got nothing")
    return envelope


def is_binary(headers: Headers) -> bool:
    return any(name == "ce_specversion" or name == "ce_id" for name, _ in headers)


def _binary(value: bytes, headers: Headers) -> Envelope:
    attributes = {}
    for name, raw in headers:
        if name.startswith("ce_") and name != "ce_data":
            try:
                attributes[name[3:]] = raw.decode()
            except UnicodeDecodeError:
                raise InvalidEvent(f"$.{name[3:]}", f"expected UTF-8 in the header {name}, got {raw[:40]!r}") from None
    try:
        envelope = msgspec.convert(attributes, Envelope)
    except msgspec.ValidationError as error:
        raise complaint(error, "$", None, attributes) from None
    envelope.data = Raw(value)
    return envelope


def _decoded(decoder: msgspec.json.Decoder[T], json: bytes, root: str, event_type: str | None) -> T:
    try:
        if not json.isascii():
            json.decode()
        return decoder.decode(json)
    except UnicodeDecodeError as error:
        raise InvalidEvent(
            root, f"expected JSON in UTF-8, got byte 0x{json[error.start]:02x} at {error.start}"
        ) from None
    except msgspec.ValidationError as error:
        if decoder is _anything:
            # The only validation error without types: Python's limit for the digits of an integer.
            raise InvalidEvent(root, f"expected integers of at most {DIGITS_MAX} digits, got one of more") from None
        raise complaint(error, root, event_type, _decoded(_anything, json, root, None)) from None
    except msgspec.DecodeError as error:
        raise InvalidEvent(root, f"expected JSON, got {len(json)} bytes that are not: {error}") from None


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(json: bytes) -> None:
    """Raises InvalidEvent past DEPTH_MAX. `json` is well-formed.

    Each `replace` removes the innermost level everywhere, so that the number of passes is the depth.
    """
    if json.count(b"[") + json.count(b"{") <= DEPTH_MAX:
        return
    brackets = _STRING.sub(b"", json).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(DEPTH_MAX):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise InvalidEvent("$", f"expected nesting of at most {DEPTH_MAX}, got more")
