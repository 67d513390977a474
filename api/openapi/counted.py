"""Facets, sums and histograms, for the OpenAPI document."""

from api.openapi.forms import Json, exactly, parameter, parsed_integer
from api.params.aggregates import BY, FACET_LIMIT_DEFAULT, FACET_LIMIT_MAX, OPEN, SUMS
from projector.readmodel.query.histogram import INTERVALS_MAX
from projector.readmodel.schema.keys import FACET_FIELDS

_COUNT: Json = {"type": "integer", "minimum": 0}
_PLAIN_SUM = (
    "Groups whose orders have several currencies, or of which one has none, are summed apart under `null`: a plain sum "
    "of different currencies is no amount of money."
)
_SUMS: Json = {"type": "string", "pattern": f"^({'|'.join(SUMS)})?(,({'|'.join(SUMS)})?)*$"}
HISTOGRAM_EXAMPLE: Json = {
    "histogram": [
        {"from": "2026-06-01T00:00:00.000Z", "count": 3},
        {"from": "2026-06-02T00:00:00.000Z", "count": 0},
        {"from": "2026-06-03T00:00:00.000Z", "count": 5},
    ],
    "count": 8,
    "earlier": 0,
    "by": "created_at:day",
}


def list_parameters() -> list[Json]:
    names = "|".join(FACET_FIELDS)
    one = f"({names})({OPEN})?"
    # Empty names are none.
    some: Json = {"type": "string", "pattern": f"^({one})?(,({one})?)*$"}
    several: Json = {"type": "array", "items": some}
    limit: Json = {
        "type": "integer",
        "minimum": 1,
        "maximum": FACET_LIMIT_MAX,
        "default": FACET_LIMIT_DEFAULT,
    }
    assert FACET_LIMIT_MAX == 100, "the pattern below assumes it"
    return [
        parameter(
            "facets",
            "Fields whose values are counted: how many of the groups that match have each; split at commas. "
            f"`{FACET_FIELDS[0]}{OPEN}` leaves the filter on that field itself out: what else there is. A group with "
            "two sellers counts for both, so the counts of a field add up to more than `count`. Example: "
            f"`status{OPEN},seller_id`.",
            {"anyOf": [some, several]},
            style="form",
            explode=True,
        ),
        parameter(
            "facet_limit",
            "How many sellers `facets` has: those with most groups. Other fields have all.",
            parsed_integer(limit, "([1-9][0-9]?|100)"),
        ),
        sums_parameter(),
    ]


def sums_parameter() -> Json:
    return parameter(
        "sums",
        f"`total`: the sums of the groups that match, by currency. {_PLAIN_SUM}",
        {"anyOf": [_SUMS, {"type": "array", "items": _SUMS}]},
        style="form",
        explode=True,
    )


def by_parameter() -> Json:
    return {
        **parameter("by", "Days, weeks from Monday on, or months, in UTC.", {"enum": [*BY]}),
        "required": True,
    }


def list_properties() -> Json:
    """Returns what a list has only if it is asked for."""
    values: Json = {
        "type": "array",
        "items": exactly(value={"type": "string"}, count={**_COUNT, "minimum": 1}),
        "description": "By count, descending, then by value.",
    }
    return {
        "facets": {
            "type": "object",
            "properties": dict.fromkeys(FACET_FIELDS, values),
            "additionalProperties": False,
            "description": "With `facets`: how many of the groups that match have each value, in the same snapshot.",
        },
        "sums": {"$ref": "#/components/schemas/Sums"},
    }


def schemas() -> Json:
    amount: Json = {"type": "number"}
    interval = exactly(**{"from": {"type": "string", "format": "date-time"}, "count": _COUNT})
    interval["properties"]["sums"] = {"$ref": "#/components/schemas/Sums"}
    return {
        "Sums": {
            **exactly(
                total={
                    "type": "array",
                    "items": exactly(
                        currency_code={"type": ["string", "null"]},
                        sum={**amount, "description": "Exact."},
                        count={**_COUNT, "minimum": 1},
                        min=amount,
                        max=amount,
                        avg={**amount, "description": "Rounded half to even, to six decimals."},
                    ),
                }
            ),
            "description": f"With `sums`: by currency, that of `null` last. {_PLAIN_SUM}",
        },
        "Histogram": exactly(
            histogram={
                "type": "array",
                "items": interval,
                "maxItems": INTERVALS_MAX,
                "description": "Consecutive intervals, of which the last one has the newest group that matches.",
            },
            count={**_COUNT, "description": "All groups that match."},
            earlier={**_COUNT, "description": "Those before the first interval."},
            by={"enum": [*BY]},
        ),
    }
