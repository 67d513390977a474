"""The JSON of what is counted beside a page: facets, sums and histograms."""

from collections.abc import Sequence
from typing import Any

import msgspec

from projector.readmodel.query.aggregates import Aggregates, Counted, Sum
from projector.readmodel.query.histogram import Histogram, Unit, start_text
from projector.readmodel.record.document import amount_json

_encode = msgspec.json.Encoder().encode


def members(wanted: Aggregates, counted: Counted) -> bytes:
    """Returns the members of the answer behind `limit`, each after a comma; nothing unless they are wanted."""
    found: dict[str, Any] = {}
    if wanted.facets:
        pairs = zip(wanted.facets, counted.facets, strict=True)
        found["facets"] = {
            facet.field: [{"value": value, "count": count} for value, count in values] for facet, values in pairs
        }
    if wanted.sums:
        found["sums"] = _sums(counted.sums)
    return b"," + _encode(found)[1:-1] if found else b""


def histogram_body(found: Histogram, unit: Unit, *, sums: bool) -> bytes:
    intervals = [
        {
            "from": start_text(one.start),
            "count": one.count,
            **({"sums": _sums(one.sums)} if sums else {}),
        }
        for one in found.intervals
    ]
    return _encode({"histogram": intervals, "count": found.count, "earlier": found.earlier, "by": f"created_at:{unit}"})


def _sums(sums: Sequence[Sum]) -> dict[str, Any]:
    return {
        "total": [
            {
                "currency_code": one.currency,
                "sum": amount_json(one.sum),
                "count": one.count,
                "min": amount_json(one.least),
                "max": amount_json(one.greatest),
                "avg": amount_json(average(one)),
            }
            for one in sums
        ]
    }


def average(of: Sum) -> int:
    """Returns the sum divided by the count, rounded to the nearest integer, from half way to the even one."""
    quotient, rest = divmod(of.sum, of.count)
    return quotient + (2 * rest > of.count or (2 * rest == of.count and quotient % 2 == 1))
