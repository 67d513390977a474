"""The parameters and the answer of an export, for the OpenAPI document."""

from api.openapi.answers import carried
from api.openapi.forms import Json, parameter
from api.openapi.query import fields_parameter, filter_parameters
from api.params.export import FORMS, ROWS
from projector.readmodel.query.fields import DEFAULT_FIELDS

_DESCRIPTION = """
All groups that match, in order of arrival, sent as they are read. Which groups is decided in one snapshot, that of
`X-Projection-Position`; each is as it is when it is read. An answer that ends without the last chunk of HTTP is not
complete.

In CSV, texts that begin with `=`, `+`, `-`, `@`, tab or carriage return have an apostrophe in front, so that no
spreadsheet runs them; lists are joined by semicolons; `orders` is JSON. The last line of NDJSON has the number of lines
before it, of groups that vanished meanwhile, and the SHA-256 of all bytes before it.
""".strip()
_ID = "og_01HXYZ8Q2M4N6P8R0T2V4W6X8Y"


def parameters() -> list[Json]:
    return [
        parameter(
            "format", "CSV (RFC 4180, UTF-8), or a JSON object in each line.", {"enum": [*FORMS], "default": FORMS[0]}
        ),
        parameter(
            "rows",
            "A row for each group, or for each order: then its group's fields come first, and its own begin with "
            "`order_`. If `fields` names no field of orders, all of them.",
            {"enum": [*ROWS], "default": ROWS[0]},
        ),
        parameter("bom", "Whether a CSV begins with a byte order mark, for spreadsheets.", {"type": "boolean"}),
        fields_parameter(DEFAULT_FIELDS),
        *filter_parameters(),
    ]


def success() -> Json:
    end = '{"export":{"count":1,"vanished":0,"sha256":"9f2c..."}}'
    return {
        "description": _DESCRIPTION,
        "headers": carried(("X-Export-Count", "X-Projection-Position", "Content-Disposition", "X-Request-Id")),
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": f"id,total\r\n{_ID},74\r\n"},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": f'{{"id":"{_ID}","total":74}}\n{end}\n'},
        },
    }
