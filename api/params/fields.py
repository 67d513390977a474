"""The parameter `fields`: which fields of a group a response contains, parsed as Medusa 2.18 does."""

from collections.abc import Iterable

from projector.readmodel.query.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS, Fields

LIST_DEFAULTS = DEFAULT_FIELDS
ONE_DEFAULTS = (*DEFAULT_FIELDS, "orders.*")

_ALL_OF_ORDERS = ("orders", "*orders", "orders.*")
_KNOWN_NAMES = frozenset((*GROUP_FIELDS, *_ALL_OF_ORDERS, *(f"orders.{name}" for name in ORDER_FIELDS)))


def parse_fields(text: str | None, defaults: tuple[str, ...]) -> Fields:
    """`text` is None if the parameter is absent. Unknown names are ignored.

    A port of `FieldParser` in @medusajs/framework 2.18: one clause without a modifier makes all clauses plain names. A
    space counts as `+`, because `+` in a query string decodes to it.
    """
    if text is None:
        return _resolve(defaults)
    clauses = [clause for clause in text.split(",") if clause]
    if not clauses or not all(_has_modifier(clause) for clause in clauses):
        return _resolve(clause[1:] if clause[0] in "+ -" else clause for clause in clauses)
    return _resolve(_modified(defaults, clauses))


def _has_modifier(clause: str) -> bool:
    return clause[0] in "+ -*" or clause.endswith(".*")


def _modified(defaults: Iterable[str], clauses: Iterable[str]) -> Iterable[str]:
    """Ignores unknown names at once, so that the cost of a clause does not grow with their number."""
    names = dict.fromkeys(defaults)
    for clause in clauses:
        if clause[0] == "-":
            _remove(names, clause[1:])
            continue
        name = clause.strip().removeprefix("+") if clause[0] in "+ " else clause
        if name in _KNOWN_NAMES:
            names[name] = None
    return names


def _remove(names: dict[str, None], name: str) -> None:
    for present in list(names):
        bare = present.removeprefix("*")
        if bare == name or bare.startswith(name + "."):
            del names[present]


def _resolve(names: Iterable[str]) -> Fields:
    wanted = {"id"}
    of_orders: set[str] = set()
    for name in names:
        if name in _ALL_OF_ORDERS:
            of_orders.update(ORDER_FIELDS)
        elif name.startswith("orders."):
            of_orders.add(name.removeprefix("orders."))
        else:
            wanted.add(name)
    order = tuple(name for name in ORDER_FIELDS if name in of_orders)
    if order:
        wanted.add("orders")
    return Fields(tuple(name for name in GROUP_FIELDS if name in wanted), order)
