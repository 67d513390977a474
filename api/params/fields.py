"""Which fields of a group a response holds: the parameter `fields`, read as Medusa 2.18 reads it."""

from collections.abc import Iterable

from projector.readmodel.query.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS, Fields

LIST_DEFAULTS = DEFAULT_FIELDS
ONE_DEFAULTS = (*DEFAULT_FIELDS, "orders.*")

_ALL_OF_ORDERS = ("orders", "*orders", "orders.*")
_MEANINGFUL = frozenset((*GROUP_FIELDS, *_ALL_OF_ORDERS, *(f"orders.{name}" for name in ORDER_FIELDS)))


def parse_fields(text: str | None, defaults: tuple[str, ...]) -> Fields:
    """None means that the parameter was not given. Unknown names are ignored.

    A port of `FieldParser` in @medusajs/framework 2.18: any piece without a modifier makes all pieces a
    plain list of names. A space counts as `+`, since that is what a `+` in a query string decodes to.
    """
    if text is None:
        return _resolve(defaults)
    pieces = [piece for piece in text.split(",") if piece]
    if not pieces or not all(_has_modifier(piece) for piece in pieces):
        return _resolve(piece[1:] if piece[0] in "+ -" else piece for piece in pieces)
    return _resolve(_modified(defaults, pieces))


def _has_modifier(piece: str) -> bool:
    return piece[0] in "+ -*" or piece.endswith(".*")


def _modified(defaults: Iterable[str], pieces: Iterable[str]) -> Iterable[str]:
    """Only names that mean something are kept, so that the work for a piece does not grow with their number."""
    names = dict.fromkeys(defaults)
    for piece in pieces:
        if piece[0] == "-":
            _remove(names, piece[1:])
            continue
        name = piece.strip().removeprefix("+") if piece[0] in "+ " else piece
        if name in _MEANINGFUL:
            names[name] = None
    return names


def _remove(names: dict[str, None], name: str) -> None:
    for there in list(names):
        bare = there.removeprefix("*")
        if bare == name or bare.startswith(name + "."):
            del names[there]


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
