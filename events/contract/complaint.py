"""Turns msgspec's validation errors into InvalidEvent: path, expected, got."""

import re
from typing import Any

import msgspec

from events.errors import InvalidEvent

_AT = re.compile(r"^(?P<text>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.+)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>.+)`, got `(?P<got>.+)`")
_BOUND = re.compile(r"Expected `(?P<expected>.+?)`(?P<bound>.*)", re.DOTALL)
_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "date-time"}
_SHOWN_MAX = 60


def complaint(error: msgspec.ValidationError, root: str, event_type: str | None, document: Any) -> InvalidEvent:
    """`document`: the decoded JSON that failed, from which the found value is shown."""
    match = _AT.match(str(error))
    assert match, "the pattern matches any text"
    text, path = match["text"], match["path"] or ""
    missing = _MISSING.fullmatch(text)
    if missing:
        by = f"required in {event_type}" if event_type else "required"
        return InvalidEvent(f"{root}{path}.{missing['name']}", f"{by}, got nothing")
    return InvalidEvent(root + path, _problem(text, _found(document, path)))


def _problem(text: str, found: Any) -> str:
    wrong_type = _WRONG_TYPE.fullmatch(text)
    if wrong_type:
        return f"expected {_named(wrong_type['expected'])}, got {_named(wrong_type['got'])}"
    if "timezone" in text or "RFC3339" in text:
        return f"expected RFC 3339 date-time with offset, got {_shown(found)}"
    if "matching regex" in text:
        return f"expected 3 letters, got {_shown(found)}"
    if text.startswith("Invalid enum value"):
        return f'expected "1.0", got {_shown(found)}'
    bound = _BOUND.fullmatch(text)
    if bound:
        return f"expected {_named(bound['expected'])}{bound['bound']}, got {_shown(found)}"
    return f"{text[:1].lower()}{text[1:]}, got {_shown(found)}"


def _named(types: str) -> str:
    return " or ".join(_NAMES.get(name, name) for name in types.split(" | "))


def _found(document: Any, path: str) -> Any:
    for name in path.split(".")[1:]:
        document = document[name]
    return document


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text)} characters)"
