"""What is counted beside a page: `facets`, `facet_limit` and `sums`; and `by`, of a histogram."""

from api.params.operators import Issue, choice, one_of, texts
from api.params.tree import Node
from projector.readmodel.query.aggregates import Facet
from projector.readmodel.query.histogram import Unit
from projector.readmodel.schema.keys import FACET_FIELDS

FACET_LIMIT_DEFAULT, FACET_LIMIT_MAX = 20, 100
SUMS = ("total",)
# Behind a facet: the filter on the field itself is left out.
OPEN = ":all"
BY = tuple(f"created_at:{unit}" for unit in Unit)


def facets(name: str, node: Node) -> tuple[Facet, ...]:
    """`node`: names split at commas, or a list of them; an empty one is none. Raises Issue."""
    found: dict[str, Facet] = {}
    for text in _names(name, node):
        field = text.removesuffix(OPEN)
        if field not in FACET_FIELDS:
            raise one_of(FACET_FIELDS, name, text)
        facet = Facet(field, text.endswith(OPEN))
        if found.setdefault(field, facet) != facet:
            raise Issue(f"Expected: '{field}' or '{field}{OPEN}' for field '{name}', but got both")
    return tuple(found.values())


def sums(name: str, node: Node) -> bool:
    """Whether totals are summed. Raises Issue."""
    names = _names(name, node)
    for one in names:
        if one not in SUMS:
            raise one_of(SUMS, name, one)
    return bool(names)


def by(name: str, node: Node) -> Unit:
    """Raises Issue."""
    return Unit(choice(BY, name, node).partition(":")[2])


def _names(name: str, node: Node) -> list[str]:
    return [part for text in texts(name, node) for part in text.split(",") if part]
