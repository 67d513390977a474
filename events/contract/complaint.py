"""msgspec's words for what is wrong, turned into the contract's: path, expected, got. Only bad events come here."""

import re
from typing import Any

import msgspec

from events.errors import InvalidEvent

_AT = re.compile(r"^(?P<said>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.+)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>.+)`, got `(?P<got>.+)`")
_BOUND = re.compile(r"Expected `(?P<expected>.+?)`(?P<bound>.*)", re.DOTALL)
_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "date-time"}
_SHOWN_MAX = 60


def complaint(error: msgspec.ValidationError, root: str, event_type: str | None, document: Any) -> InvalidEvent:
    """`document` is the plain JSON value that failed, so that what was found can be shown."""
    match = _AT.match(str(error))
    assert match, "the pattern matches any text"
    said, path = match["said"], match["path"] or ""
    missing = _MISSING.fullmatch(said)
    if missing:
        by = f"required in {event_type}" if event_type else "required"
        return InvalidEvent(f"{root}{path}.{missing['name']}", f"{by}, got nothing")
    return InvalidEvent(root + path, _problem(said, _found(document, path)))


def _problem(said: str, found: Any) -> str:
    wrong_type = _WRONG_TYPE.fullmatch(said)
    if wrong_type:
        return f"expected {_named(wrong_type['expected'])}, got {_named(wrong_type['got'])}"
    if "timezone" in said or "RFC3339" in said:
        return f"expected RFC 3339 date-time with offset, got {_shown(found)}"
    if "matching regex" in said:
        return f"expected 3 letters, got {_shown(found)}"
    if said.startswith("Invalid enum value"):
        return f'expected "1.0", got {_shown(found)}'
    bound = _BOUND.fullmatch(said)
    if bound:
        return f"expected {_named(bound['expected'])}{bound['bound']}, got {_shown(found)}"
    return f"{said[:1].lower()}{said[1:]}, got {_shown(found)}"


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
