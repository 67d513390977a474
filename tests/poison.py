"""Events that break the contract, each with the expected reason. Written from the contract."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

Headers = tuple[tuple[str, bytes], ...]


class Poison(NamedTuple):
    name: str
    value: bytes | None
    headers: Headers
    reason: str


def event(number: int = 1, kind: str = "order.created", **data: Any) -> dict[str, Any]:
    """Returns a valid event; `data` overrides fields."""
    return {
        "specversion": "1.0",
        "id": f"evt_{number}",
        "source": "/commerce/orders",
        "type": kind,
        "time": "2026-06-01T10:00:00.000Z",
        "data": {
            "id": f"order_{number}",
            "order_group_id": f"og_{number}",
            "version": 1,
            "seller_id": "sel_01",
            "customer_id": "cus_01",
            "sales_channel_id": "sc_web",
            "status": "pending",
            "currency_code": "eur",
            "total": 3700,
            "created_at": "2026-06-01T10:00:00.000Z",
            "updated_at": "2026-06-01T10:00:00.000Z",
            **data,
        },
    }


def _data(reason: str, field: str, value: Any) -> Poison:
    return _json(f"data.{field}={str(value)[:20]}", reason, lambda e: e["data"].update({field: value}))


def _envelope(reason: str, field: str, value: Any) -> Poison:
    return _json(f"{field}={str(value)[:20]}", reason, lambda e: e.update({field: value}))


def _missing(reason: str, *path: str, kind: str = "order.created") -> Poison:
    def change(found: dict[str, Any]) -> None:
        found["type"] = kind
        parent = found if len(path) == 1 else found[path[0]]
        del parent[path[-1]]

    return _json(f"{kind} without {'.'.join(path)}", reason, change)


def _json(name: str, reason: str, change: Callable[[dict[str, Any]], object]) -> Poison:
    found = event()
    change(found)
    return Poison(name, json.dumps(found).encode(), (), reason)


def _raw(name: str, reason: str, value: bytes | None, headers: Headers = ()) -> Poison:
    return Poison(name, value, headers, reason)


def _nested(levels: int) -> bytes:
    """Returns a valid event with an unknown field that is nested to depth `levels`."""
    inner = "[" * (levels - 2) + "]" * (levels - 2)
    return json.dumps(event()).replace('"version"', f'"extra": {inner}, "version"').encode()


_BINARY: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_source", b"/a"), ("ce_type", b"order.created"))
_DIGITS = "$.data.total: expected decimal with at most 15 significant digits, 6 of them after the point, got "
_TIME = "expected RFC 3339 date-time with offset, got "
_DATA = json.dumps(event()["data"]).encode()

POISON = [
    # Not JSON.
    _raw("no value", "$: expected a CloudEvent, got a record without a value", None),
    _raw("empty", "$: expected JSON, got 0 bytes that are not: Input data was truncated", b""),
    _raw(
        "cut off",
        "$: expected JSON, got 20 bytes that are not: Input data was truncated",
        json.dumps(event())[:20].encode(),
    ),
    _raw("not UTF-8", "$: expected JSON in UTF-8, got byte 0xff at 2", b'{"\xff":1}'),
    _raw("UTF-16", "$: expected JSON in UTF-8, got byte 0xff at 0", json.dumps(event()).encode("utf-16")),
    _raw(
        "not UTF-8 in an unknown field",
        "$: expected JSON in UTF-8, got byte 0xff at 6",
        b'{"x":"\xff"' + json.dumps(event())[1:].encode(),
    ),
    _raw(
        "avro-like",
        "$: expected JSON, got 5 bytes that are not: JSON is malformed: invalid character (byte 0)",
        b"\0\0\0\0\7",
    ),
    # Not an envelope.
    _raw("array", "$: expected object, got array", b"[]"),
    _raw("string", "$: expected object, got string", b'"order.created"'),
    _raw("data alone", "$.specversion: required, got nothing", _DATA),
    _envelope('$.specversion: expected "1.0", got "0.3"', "specversion", "0.3"),
    _envelope("$.specversion: expected string, got number", "specversion", 1.0),
    _missing("$.specversion: required, got nothing", "specversion"),
    _missing("$.id: required, got nothing", "id"),
    _missing("$.source: required, got nothing", "source"),
    _missing("$.type: required, got nothing", "type"),
    _missing("$.data: required in order.created, got nothing", "data"),
    _envelope('$.id: expected string of length >= 1, got ""', "id", ""),
    _envelope(f'$.id: expected string of length <= 255, got "{"i" * 59}… (258 characters)', "id", "i" * 256),
    _envelope("$.id: expected string, got integer", "id", 7),
    _envelope('$.source: expected string of length >= 1, got ""', "source", ""),
    _envelope("$.type: expected string, got array", "type", ["order.created"]),
    _envelope(f'$.time: {_TIME}"yesterday"', "time", "yesterday"),
    _envelope("$.data: expected object, got array", "data", []),
    _envelope("$.data: expected object, got null", "data", None),
    # A required field missing.
    *(
        _missing(f"$.data.{field}: required in order.created, got nothing", "data", field)
        for field in ("id", "order_group_id", "updated_at", "created_at", "seller_id", "status", "total")
    ),
    *(
        _missing(f"$.data.{field}: required in order.updated, got nothing", "data", field, kind="order.updated")
        for field in ("id", "order_group_id", "updated_at")
    ),
    # A wrong type.
    _data("$.data.id: expected string, got integer", "id", 5),
    _data("$.data.order_group_id: expected string, got null", "order_group_id", None),
    _data("$.data.updated_at: expected date-time, got integer", "updated_at", 1780308000),
    _data("$.data.created_at: expected date-time, got null", "created_at", None),
    _data("$.data.seller_id: expected string, got object", "seller_id", {"id": "sel_01"}),
    _data("$.data.status: expected string, got null", "status", None),
    _data("$.data.total: expected decimal, got object", "total", {"value": "3700"}),
    _data("$.data.total: expected decimal, got array", "total", [3700]),
    _data("$.data.total: expected decimal, got null", "total", None),
    _data("$.data.total: expected decimal, got boolean", "total", True),
    _data('$.data.total: expected decimal, got ""', "total", ""),
    _data('$.data.total: expected decimal, got "NaN"', "total", "NaN"),
    _data('$.data.total: expected decimal, got "-Infinity"', "total", "-Infinity"),
    _data('$.data.total: expected decimal, got " 1"', "total", " 1"),
    _data('$.data.total: expected decimal, got "1_000"', "total", "1_000"),
    _data('$.data.total: expected decimal, got "12,50"', "total", "12,50"),
    _data("$.data.version: expected integer, got number", "version", 1.5),
    _data("$.data.version: expected integer, got null", "version", None),
    _raw(
        "an integer of 5000 digits",
        "$.data: expected integers of at most 4300 digits, got one of more",
        json.dumps(event()).replace('"version": 1', '"version": ' + "9" * 5000).encode(),
    ),
    _data("$.data.version: expected integer, got string", "version", "1"),
    _data("$.data.customer_id: expected string or null, got integer", "customer_id", 1),
    _data("$.data.sales_channel_id: expected string or null, got array", "sales_channel_id", []),
    _data("$.data.display_id: expected integer or null, got string", "display_id", "1001"),
    _data("$.data.order_group_display_id: expected integer or null, got number", "order_group_display_id", 1.25),
    _data("$.data.cart_id: expected string or null, got boolean", "cart_id", False),
    _data("$.data.deleted_at: expected date-time or null, got boolean", "deleted_at", True),
    _data("$.data.order_group_created_at: expected date-time or null, got object", "order_group_created_at", {}),
    _data("$.data.order_group_customer_id: expected string or null, got integer", "order_group_customer_id", 7),
    _data("$.data.payment_status: expected string or null, got boolean", "payment_status", True),
    _data("$.data.fulfillment_status: expected string or null, got array", "fulfillment_status", ["shipped"]),
    _data("$.data.canceled_at: expected date-time or null, got integer", "canceled_at", 1780308000),
    _data("$.data.custom_display_id: expected string or null, got integer", "custom_display_id", 41),
    _data("$.data.seller_name: expected string or null, got object", "seller_name", {"de": "Anna"}),
    _data("$.data.email: expected string or null, got array", "email", ["ada@example.com"]),
    _data("$.data.customer_name: expected string or null, got object", "customer_name", {"first": "Ada"}),
    _data("$.data.customer_first_name: expected string or null, got integer", "customer_first_name", 1),
    _data("$.data.customer_last_name: expected string or null, got boolean", "customer_last_name", False),
    # A value out of bounds.
    _data('$.data.id: expected string of length >= 1, got ""', "id", ""),
    _data(
        f'$.data.seller_id: expected string of length <= 255, got "{"s" * 59}… (258 characters)', "seller_id", "s" * 256
    ),
    _data('$.data.status: expected string of length >= 1, got ""', "status", ""),
    _data(f'$.data.status: expected string of length <= 64, got "{"s" * 59}… (67 characters)', "status", "s" * 65),
    _data("$.data.version: expected integer >= 0, got -1", "version", -1),
    _data(
        f'$.data.payment_status: expected string of length <= 64, got "{"s" * 59}… (67 characters)',
        *("payment_status", "s" * 65),
    ),
    _data(f'$.data.email: expected string of length <= 320, got "{"e" * 59}… (323 characters)', "email", "e" * 321),
    _data(
        f'$.data.seller_name: expected string of length <= 255, got "{"n" * 59}… (258 characters)',
        *("seller_name", "n" * 256),
    ),
    _data(f'$.data.canceled_at: {_TIME}"2026-06-01"', "canceled_at", "2026-06-01"),
    _data('$.data.currency_code: expected 3 letters, got "euro"', "currency_code", "euro"),
    _data('$.data.currency_code: expected 3 letters, got "€€€"', "currency_code", "€€€"),
    _data(_DIGITS + "1234567890123456", "total", 1234567890123456),
    _data(_DIGITS + '"0.1234567"', "total", "0.1234567"),
    _data(_DIGITS + "1e+300", "total", 1e300),
    _data(_DIGITS + '"1e-7"', "total", "1e-7"),
    _data(f'$.data.created_at: {_TIME}"2026-06-01T10:00:00"', "created_at", "2026-06-01T10:00:00"),
    _data(f'$.data.updated_at: {_TIME}"2026-13-01T10:00:00Z"', "updated_at", "2026-13-01T10:00:00Z"),
    _data(f'$.data.deleted_at: {_TIME}"2026-06-01"', "deleted_at", "2026-06-01"),
    _data(
        "$.data.updated_at: expected a date-time in the years 1 to 9999 of UTC, got 0001-01-01T00:00:00+05:00",
        *("updated_at", "0001-01-01T00:00:00+05:00"),
    ),
    # Too large, too deep.
    _json(
        "1 MiB and a byte",
        "$: expected at most 1048576 bytes, got 1048577",
        lambda e: e.update(x="y" * (1024 * 1024 + 1 - len(json.dumps(e)) - 9)),
    ),
    _raw("33 deep", "$: expected nesting of at most 32, got more", _nested(33)),
    _raw(
        "100 000 deep", "$: expected nesting of at most 32, got more", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    # The binary content mode.
    _raw("binary without id", "$.id: required, got nothing", _DATA, (_BINARY[0], *_BINARY[2:])),
    _raw(
        "binary, bad specversion",
        '$.specversion: expected "1.0", got "2.0"',
        _DATA,
        (("ce_specversion", b"2.0"), *_BINARY[1:]),
    ),
    _raw(
        "binary, header not UTF-8",
        "$.id: expected UTF-8 in the header ce_id, got b'\\xff'",
        _DATA,
        (*_BINARY, ("ce_id", b"\xff")),
    ),
    _raw(
        "a header's name not UTF-8",
        "$: expected UTF-8 in the names of headers, got b'tr\\xffce'",
        _DATA,
        (*_BINARY, ("tr\U0010feffce", b"1")),
    ),
    _raw("binary, data not an object", "$.data: expected object, got array", b"[]", _BINARY),
    _raw(
        "binary, bad field",
        "$.data.total: required in order.created, got nothing",
        json.dumps({k: v for k, v in event()["data"].items() if k != "total"}).encode(),
        _BINARY,
    ),
]

# Valid values at the limits.
FINE = [
    _raw("32 deep", "", _nested(32)),
    _json("1 MiB", "", lambda e: e.update(x="y" * (1024 * 1024 - len(json.dumps(e)) - 9))),
    _raw("binary", "", _DATA, _BINARY),
    _raw("binary with more headers", "", _DATA, (("trace", b"\xff"), *_BINARY, ("ce_partitionkey", b"k"))),
    _raw(
        "structured, by its header",
        "",
        json.dumps(event()).encode(),
        (("content-type", b"application/cloudevents+json"),),
    ),
    _json("unknown fields everywhere", "", lambda e: (e.update(x={"y": [1]}), e["data"].update(z={"w": None}))),
    _data("", "id", "i" * 255),
    _data("", "status", "s" * 64),
    _data("", "status", "requires_action"),
    _data("", "customer_id", None),
    _data("", "email", "e" * 320),
    _data("", "fulfillment_status", "partially_shipped"),
    _data("", "payment_status", ""),
    _data("", "customer_name", None),
    _data("", "currency_code", "EUR"),
    _data("", "total", "999999999.999999"),
    _data("", "total", 999999999999999),
    _data("", "total", "1e14"),
    _data("", "total", "-0.000001"),
    _data("", "created_at", "2026-06-01T12:00:00.123456+02:00"),
    _data("", "updated_at", "9999-12-31T23:59:59.999999Z"),
]
