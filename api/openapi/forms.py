"""Forms of schemas and parameters that the whole OpenAPI document uses."""

from typing import Any

Json = dict[str, Any]


def exactly(*, _optional: Json | None = None, **properties: Json) -> Json:
    """Returns the schema of an object with these properties, and no others."""
    every = properties | (_optional or {})
    return {"type": "object", "properties": every, "required": [*properties], "additionalProperties": False}


def parsed_integer(integer: Json, digits: str) -> Json:
    """Returns the schema of an integer, or of a text that JavaScript's `parseInt` takes for one: white space, a plus
    sign, digits; what is behind the digits is ignored. `digits`: a pattern of those in range, without leading zeros.
    """
    return {"anyOf": [integer, {"type": "string", "pattern": rf"^\s*\+?0*{digits}([^0-9xX].*)?$"}]}


def parameter(name: str, description: str, schema: Json, **more: Any) -> Json:
    """Returns an optional parameter of a query string."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **more}
