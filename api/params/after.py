"""The parameter `after`: where a walk through a list goes on. Pure."""

from collections.abc import Container

from msgspec import structs

from api.params.operators import Issue
from api.params.tree import shortened
from projector.readmodel.query.mark import decoded, filters_of, order_of
from projector.readmodel.query.query import Query


def after(name: str, text: str, query: Query, present: Container[str]) -> Query:
    """Returns the query as a page of a walk. `text`: a mark, or empty for the first page. `present`: the parameters.

    Whether the mark is of the active generation is known only with the answer. Raises Issue.
    """
    if "offset" in present:
        raise Issue(f"Expected: one of the fields 'offset' and '{name}', but got both")
    if not query.limit:
        raise Issue(f"Value for field 'limit' too small with '{name}', expected at least: '1'")
    if not text:
        return structs.replace(query, walks=True)
    mark = decoded(text)
    if mark is None or (mark.value is None and query.sort != "display_id"):
        raise Issue(f"Expected: a mark from 'next' for field '{name}', but got: '{shortened(text)}'")
    if mark.order != order_of(query):
        raise Issue(f"Expected: a mark of this order for field '{name}', but got: one of '{mark.order}'")
    if mark.filters != filters_of(query):
        raise Issue(f"Expected: a mark of these filters for field '{name}', but got: one of others")
    return structs.replace(query, walks=True, mark=mark)
