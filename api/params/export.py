"""Parses the query string of an export: the filters of a list, and the form of the file. Pure."""

from functools import partial
from typing import Literal, cast

from msgspec import Struct, structs

from api.params.operators import choice
from api.params.query import FILTERS, boolean, parsed, query_of, take
from api.params.tree import Node
from projector.readmodel.query.fields import ORDER_FIELDS
from projector.readmodel.query.query import Query

Form = Literal["csv", "ndjson"]
FORMS: tuple[Form, ...] = ("csv", "ndjson")
Rows = Literal["groups", "orders"]
ROWS: tuple[Rows, ...] = ("groups", "orders")

_OF_LISTS = ("fields", *FILTERS)
EXPORT_PARAMETERS = (*_OF_LISTS, "format", "rows", "bom")


class Export(Struct, frozen=True):
    """`per_order`: one row an order, else one a group. `has_bom`: of CSV alone."""

    query: Query
    form: Form
    per_order: bool
    has_bom: bool


def parse_export(raw: str) -> Export:
    """`raw`: the query string, percent-encoded, without the question mark. Raises InvalidRequest."""
    return parsed(raw, EXPORT_PARAMETERS, _export)


def _export(tree: dict[str, Node], issues: list[str]) -> Export:
    form = cast(Form, take(tree, "format", partial(choice, FORMS), "csv", issues))
    per_order = take(tree, "rows", partial(choice, ROWS), "groups", issues) == "orders"
    has_bom = take(tree, "bom", boolean, False, issues)
    if has_bom and form != "csv":
        issues.append(f"Expected: 'csv' for field 'format' with 'bom', but got: '{form}'")
    query = query_of({name: node for name, node in tree.items() if name in _OF_LISTS}, issues)
    return Export(with_orders(query) if per_order else query, form, per_order, has_bom)


def with_orders(query: Query) -> Query:
    """Returns the query with all fields of orders, if it has none of them."""
    fields = query.fields
    if fields.order:
        return query
    group = (*(name for name in fields.group if name != "orders"), "orders")
    return structs.replace(query, fields=structs.replace(fields, group=group, order=ORDER_FIELDS))
