"""Validates an event by the committed JSON Schema, and by the decoder."""

import calendar
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]
from jsonschema.validators import extend  # type: ignore[import-untyped]

from events.contract.decode import decode
from events.contract.schemas import documents
from events.errors import InvalidEvent

TYPES = ("order.created", "order.updated")

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-]([0-9]{2}):([0-9]{2}))"
)


def is_date_time(value: object) -> bool:
    """Checks grammar and ranges of RFC 3339, sections 5.6 and 5.7."""
    if not isinstance(value, str):
        return True
    match = _RFC3339.fullmatch(value)
    if not match:
        return False
    year, month, day, hour, minute, second, offset_hour, offset_minute = (int(part or 0) for part in match.groups())
    return (
        1 <= month <= 12
        # Leap years repeat after 400 years; the calendar begins with the year 1.
        and 1 <= day <= calendar.monthrange(year + 400, month)[1]
        and max(hour, offset_hour) <= 23
        and max(minute, offset_minute) <= 59
        and second <= 60
    )


def _pattern(_: Any, pattern: str, value: object, __: Any) -> Iterator[ValidationError]:
    """In ECMA-262 `$` matches only the end; in Python also before a final newline."""
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


# jsonschema's own list of formats depends on installed packages.
_formats = FormatChecker(formats=())
_formats.checks("date-time")(is_date_time)
_Validator = extend(Draft202012Validator, {"pattern": _pattern})


def fits(schema: dict[str, Any], value: Any) -> bool:
    return bool(_Validator(schema, format_checker=_formats).is_valid(value))


_SCHEMAS = {kind: documents()[f"schemas/{kind}.json"] for kind in TYPES}


def schema_takes(found: Any) -> bool:
    kind = found.get("type") if isinstance(found, dict) else None
    return fits(_SCHEMAS[kind if isinstance(kind, str) and kind in TYPES else "order.created"], found)


def decoder_takes(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> bool:
    try:
        assert decode(value, headers) is not None, "the strategies make no other types"
    except InvalidEvent:
        return False
    return True
