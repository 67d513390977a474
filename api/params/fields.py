"""The parameter `fields`: which fields of a group a response contains, parsed as Medusa 2.18 does."""

from collections.abc import Iterable

from projector.readmodel.query.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS, RELATIONS, Fields

LIST_DEFAULTS = DEFAULT_FIELDS
ONE_DEFAULTS = (*DEFAULT_FIELDS, "orders.*")

# Name -> what it shows of each order. An order without its id is of no use; nor is a relation.
_OF_ORDERS: dict[str, tuple[str, ...]] = {f"orders.{name}": ("id", name) for name in ORDER_FIELDS}
_OF_ORDERS |= dict.fromkeys(("orders", "*orders", "orders.*"), ORDER_FIELDS)
for _relation, _names in RELATIONS.items():
    _path = f"orders.{_relation}"
    _all = tuple(f"{_relation}.{name}" for name in _names)
    _OF_ORDERS |= {f"orders.{name}": ("id", f"{_relation}.id", name) for name in _all}
    _OF_ORDERS |= dict.fromkeys((_path, f"*{_path}", f"{_path}.*"), ("id", *_all))
_KNOWN_NAMES = frozenset((*GROUP_FIELDS, *_OF_ORDERS))


def parse_fields(text: str | None, defaults: tuple[str, ...]) -> Fields:
    """`text` is None if the parameter is absent. Unknown names are ignored, but one below `orders` shows the orders.

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
        elif _is_below_orders(name):
            names["orders.id"] = None
    return names


def _is_below_orders(name: str) -> bool:
    return name.removeprefix("*").startswith("orders.")


def _remove(names: dict[str, None], name: str) -> None:
    for present in list(names):
        bare = present.removeprefix("*")
        if bare == name or bare.startswith(name + "."):
            del names[present]


def _resolve(names: Iterable[str]) -> Fields:
    wanted = {"id"}
    of_orders: set[str] = set()
    for name in names:
        if _is_below_orders(name) or name in _OF_ORDERS:
            of_orders.update(_OF_ORDERS.get(name, ("id",)))
        else:
            wanted.add(name)
    if of_orders:
        wanted.add("orders")
    relations = {
        relation: tuple(name for name in of_relation if f"{relation}.{name}" in of_orders)
        for relation, of_relation in RELATIONS.items()
    }
    return Fields(
        tuple(name for name in GROUP_FIELDS if name in wanted),
        tuple(name for name in ORDER_FIELDS if name in of_orders),
        tuple((relation, chosen) for relation, chosen in relations.items() if chosen),
    )
