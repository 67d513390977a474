"""The parameters of requests, for the OpenAPI document.

Examples are in the descriptions: Swagger UI would send the values of `example` with every request.
"""

from api.openapi import counted
from api.openapi.forms import Json, parameter, parsed_integer
from api.params.query import LIMIT_DEFAULT, LIMIT_MAX
from api.params.tree import LIST_VALUES_MAX
from projector.readmodel.query.fields import DEFAULT_FIELDS, MORE_FIELDS, ORDER_FIELDS, RELATIONS
from projector.readmodel.query.query import DATE_FIELDS, NUMBER_FIELDS
from projector.readmodel.schema.keys import SORT_FIELDS, VALUE_FIELDS

FORMS = f"""
Query strings are parsed as the JavaScript library `qs` does, with brackets percent-encoded or not.

- **Lists**: `id=a&id=b`, `id[]=a&id[]=b`, `id[0]=a&id[1]=b`; a single element in brackets is split at commas:
  `id[]=a,b`. But `id=a,b` is one value with a comma in it. A list has at most {LIST_VALUES_MAX} values.
- **Operators**: `created_at[$gte]=2026-06-01` or `created_at.$gte=2026-06-01`. Several operators on a field are ANDed.
  A bare value is `$eq`, a list is `$in`. An empty value is no filter.
- **Filters** are ANDed. A value that no group has matches nothing; so does an empty element of a list.
- **Any other parameter** gets 400, so that a typo never widens a result unnoticed.
""".strip()

_OPERATORS = {
    "$eq": "equal to the value, or to one of a list",
    "$ne": "not equal to the value, nor to any of a list",
    "$gt": "greater than",
    "$gte": "greater than or equal to",
    "$lt": "less than",
    "$lte": "less than or equal to",
    "$in": "one of",
    "$nin": "none of",
}
_OF_LISTS = ("$eq", "$ne", "$in", "$nin")
_VALUE_MEANINGS = {
    "customer_id": "Groups of any of these customers.",
    "seller_id": "Groups with an order of any of these sellers. `orders` then holds only the orders of these sellers; "
    "`total` and `seller_count` stay those of the whole group.",
    "status": "Groups with an order in any of these statuses.",
    "sales_channel_id": "Groups with an order from any of these sales channels.",
    "payment_status": "Groups with an order in any of these payment statuses.",
    "fulfillment_status": "Groups with an order in any of these fulfillment statuses.",
    "currency_code": "Groups with an order in any of these currencies, in upper or lower case.",
}
_RANGE_MEANINGS = {
    "created_at": "When the group was created; where no event says, its earliest order.",
    "updated_at": "When an order of the group was last changed.",
    "total": "The sum of the orders' totals.",
    "seller_count": "The number of different sellers.",
    "display_id": "The group's number. A group without one matches no filter on it.",
}
_EXAMPLES = {
    **{"customer_id": "cus_01HXYZ", "seller_id": "sel_01", "status": "pending", "sales_channel_id": "sc_web"},
    **{"payment_status": "captured", "fulfillment_status": "shipped", "currency_code": "eur"},
}


def schemas() -> Json:
    """Returns the schemas that the parameters share."""
    date = {
        "description": "RFC 3339, or only its date for midnight UTC. `T` may be a blank; without an offset it is UTC. "
        "Truncated to milliseconds.",
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
    }
    return {
        "Date": date,
        "Number": {"type": "number", "description": "A decimal number, such as `74.5` or `1e3`."},
        "DateOperators": _operators("Date"),
        "NumberOperators": _operators("Number"),
    }


def list_parameters() -> list[Json]:
    return [
        _page(
            "limit", f"Rows of the page. With 0 only the count is returned. {_AS_PARSE_INT}", LIMIT_MAX, LIMIT_DEFAULT
        ),
        _page(
            "offset",
            f"Rows to skip. Past the end the page is empty, and the count is still exact. {_AS_PARSE_INT}",
            None,
            0,
        ),
        parameter(
            "after",
            "Instead of `offset`: the page after the one whose `next` this is; empty for the first page. A walk shows "
            "each group whose sort value stays exactly once, while groups come and go. Order and filters must be those "
            "of the page before, `limit` and `fields` need not. A mark of another generation of the read model is "
            "refused.",
            {"type": "string"},
        ),
        _order(),
        fields_parameter(DEFAULT_FIELDS),
        *filter_parameters(),
        *counted.list_parameters(),
    ]


def filter_parameters() -> list[Json]:
    return [
        parameter("q", f"{_TEXT_MEANING} Example: `cus_01`.", {"type": "string"}),
        *_lists("id", "Groups with any of these ids. Empty (`id=`) matches nothing.", "og_01HXYZ8Q2M4N6P8R0T2V4W6X8Y"),
        *[one for field in VALUE_FIELDS for one in _lists(field, _VALUE_MEANINGS[field], _EXAMPLES[field])],
        *[_range(field, "Date", '{"$gte": "2026-06-01", "$lt": "2026-07-01"}') for field in DATE_FIELDS],
        *[_range(field, "Number", '{"$gt": 1}') for field in NUMBER_FIELDS],
        parameter("with_deleted", "Accepted for compatibility with Medusa's clients; no effect.", {"type": "boolean"}),
    ]


def fields_parameter(defaults: tuple[str, ...]) -> Json:
    return parameter(
        "fields",
        "Names separated by commas. If any name has no modifier, the result is exactly the named fields; otherwise "
        "`+name` adds to the defaults and `-name` removes from them. `*orders` or `orders.*` adds the orders, "
        "`orders.total` one field of them. `id` is always included, that of orders, too; an empty value gives "
        "only `id`; unknown names are ignored, and one below `orders` gives the orders' ids.\n\n"
        f"Defaults: `{' '.join(defaults)}`. All: `{' '.join(DEFAULT_FIELDS + MORE_FIELDS)}`. "
        f"Of orders: `{' '.join(ORDER_FIELDS)}`, and where they are asked for "
        f"`{' '.join(f'{relation}.{name}' for relation, names in RELATIONS.items() for name in names)}`. "
        "Examples: `+display_id,orders.total`, `*orders,*orders.customer`, `orders.seller.name`.",
        {"type": "string"},
    )


_AS_PARSE_INT = "Parsed as by JavaScript's `parseInt`: `10abc` is 10, `5.9` is 5."
_TEXT_MEANING = (
    "Case-insensitive substring of one of: the group's id, its customer's id, an e-mail, a customer's name, a seller's "
    "name, a number of the group or of an order (also with `#`). Every character is literal. An empty value is no "
    "filter."
)


def _page(name: str, description: str, maximum: int | None, default: int) -> Json:
    integer: Json = {"type": "integer", "minimum": 0, "default": default}
    digits = "[0-9]{1,300}"
    if maximum is not None:
        integer["maximum"] = maximum
        assert maximum == 1000, "the pattern below assumes it"
        digits = "(1000|[0-9]{1,3})"
    return parameter(name, description, parsed_integer(integer, digits))


def _order() -> Json:
    names = [sign + field for field in SORT_FIELDS for sign in ("", "-")]
    return parameter(
        "order",
        "The field to sort by, with `-` in front for descending. Ties keep one order, turned with the direction. "
        "Groups without a `display_id` come last in both directions.",
        {"type": "string", "enum": names, "default": "-created_at"},
    )


def _lists(name: str, description: str, example: str) -> list[Json]:
    """Returns two parameters for the two forms of one filter: `name=a&name=b` and `name[]=a,b`.

    Without `maxItems`: the maximum is on the values of both forms together, which OpenAPI cannot express.
    """
    items: Json = {"type": "array", "items": {"type": "string"}}
    form: Json = {"style": "form", "explode": True}
    brackets = f"`{name}` as a list in brackets. Both forms together have at most {LIST_VALUES_MAX} values."
    return [
        parameter(name, f"{description} Example: `{example}`.", {"anyOf": [{"type": "string"}, items]}, **form),
        parameter(f"{name}[]", brackets, items, **form),
    ]


def _range(name: str, kind: str, example: str) -> Json:
    value = {"$ref": f"#/components/schemas/{kind}"}
    several = {"type": "array", "items": value, "maxItems": LIST_VALUES_MAX}
    operators = {"$ref": f"#/components/schemas/{kind}Operators"}
    return parameter(
        name,
        f"{_RANGE_MEANINGS[name]} Operators, or a bare value for `$eq`, or a list for `$in`. Example: `{example}`.",
        # Without the default, Swagger UI would send an example of all operators.
        {"anyOf": [operators, value, several], "default": {}},
        style="deepObject",
        explode=True,
    )


def _operators(kind: str) -> Json:
    value = {"$ref": f"#/components/schemas/{kind}"}
    several = {"type": "array", "items": value, "maxItems": LIST_VALUES_MAX}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"description": meaning, **({"anyOf": [value, several]} if name in _OF_LISTS else value)}
            for name, meaning in _OPERATORS.items()
        },
    }
