"""The console filters by what the API filters by. A new filter that has no row in fields.js fails here."""

import json
import re
from pathlib import Path
from typing import Any

from tests.fields import FACET_FIELDS, TIME_FIELDS

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / "api" / "console" / "static" / "views" / "groups" / "fields.js").read_text(encoding="utf-8")
LIST: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"][
    "/admin/order-groups"
]["get"]

_ROW = re.compile(r'^  \{ name: "(\w+)", title: "[^"]+", kind: "(\w+)"(, facet: true)? \},$', re.MULTILINE)


def rows() -> list[tuple[str, str, bool]]:
    """Returns name, kind, and whether values are counted, of each row of FILTERS."""
    _, _, rest = SCRIPT.partition("export const FILTERS = [\n")
    body, end, _ = rest.partition("\n];")
    found = [(name, kind, bool(facet)) for name, kind, facet in _ROW.findall(body)]
    assert end
    assert len(found) == len(body.splitlines()), "each row of FILTERS is one line of that form"
    return found


def test_the_console_has_all_filters_of_the_api() -> None:
    parameters = [one for one in LIST["parameters"] if "name" in one]
    # A filter by value has a second form, `name[]`; one by range has operators, `name[$gte]`.
    by_value = {one["name"].removesuffix("[]") for one in parameters if one["name"].endswith("[]")}
    by_range = {one["name"] for one in parameters if one.get("style") == "deepObject"}
    assert by_value
    assert by_range
    times = set(TIME_FIELDS)
    kinds = {**dict.fromkeys(by_value, "value"), **dict.fromkeys(by_range & times, "time")}
    kinds |= dict.fromkeys(by_range - times, "number")
    found = rows()
    assert {name: kind for name, kind, _ in found} == kinds
    assert len(found) == len(kinds), "each filter once"


def test_the_console_counts_the_values_that_the_api_counts() -> None:
    assert {name for name, _, is_counted in rows() if is_counted} == set(FACET_FIELDS)
