"""Columns of an export, and the JSON values in them. Pure."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from projector.readmodel.query.fields import Fields

Values = Sequence[Raw]

_objects = msgspec.json.Decoder(list[dict[str, Raw]])
_object = msgspec.json.Decoder(dict[str, Raw])


def columns(fields: Fields, *, per_order: bool) -> tuple[str, ...]:
    """Returns the names. Those of an order begin with `order_`; a relation has `order_seller.name`."""
    if not per_order:
        return fields.group
    relations = (f"{relation}.{name}" for relation, names in fields.relations for name in names)
    return (*_without_orders(fields), *(f"order_{name}" for name in (*fields.order, *relations)))


def values(documents: bytes, fields: Fields, *, per_order: bool) -> Iterator[Values]:
    """Yields the values of each row, one for each column.

    `documents`: JSON objects with exactly these fields, joined by commas.
    """
    for group in _objects.decode(b"[" + documents + b"]"):
        if not per_order:
            yield list(group.values())
            continue
        of_group = [group[name] for name in _without_orders(fields)]
        for order in _objects.decode(group["orders"]):
            related = [_object.decode(order[relation]) for relation, _ in fields.relations]
            yield [
                *of_group,
                *(order[name] for name in fields.order),
                *(value for relation in related for value in relation.values()),
            ]


def _without_orders(fields: Fields) -> list[str]:
    return [name for name in fields.group if name != "orders"]
