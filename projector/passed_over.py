"""Which types of events are passed over, by name. The tally counts them, whatever their type."""

from collections.abc import Iterable
from contextlib import suppress

from events.contract.decode import type_of
from projector.errors import StoreUnavailable
from projector.project import Decoded
from projector.readmodel.schema.tally import PASSED_OVER_TYPES
from projector.store.redis import Store

# Names that are kept: a publisher that puts an id into the type must not fill Redis.
TYPES_MAX = 50


class PassedOver:
    """Notes each name once, with the position of its first event. Operators read them, so an error stops nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = set[str]()

    def start(self) -> None:
        """Redis may have lost what was noted."""
        self._known.clear()

    def note(self, decoded: Iterable[Decoded]) -> None:
        for item in decoded:
            if item.event is None and item.problem is None and len(self._known) < TYPES_MAX:
                name = type_of(item.record.value, item.record.headers)
                if name not in self._known:
                    with suppress(StoreUnavailable):
                        self._store_name(name, str(item.record))
                        self._known.add(name)

    def _store_name(self, name: str, position: str) -> None:
        nodes = self._store.nodes
        with nodes.errors():
            is_full = nodes.of(PASSED_OVER_TYPES).hlen(PASSED_OVER_TYPES) >= TYPES_MAX
        if not is_full:
            nodes.write_even_if_full(PASSED_OVER_TYPES, "HSETNX", PASSED_OVER_TYPES, name, position)
