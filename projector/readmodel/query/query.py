"""What a list is asked for, as one value."""

from msgspec import Struct

from projector.readmodel.query.fields import Fields
from projector.readmodel.query.intervals import Intervals

DATE_FIELDS = ("created_at", "updated_at")
NUMBER_FIELDS = ("total", "seller_count", "display_id")
RANGE_FIELDS = DATE_FIELDS + NUMBER_FIELDS


class Query(Struct, frozen=True):
    """A list query. Equal queries mean the same list: filters are sorted, duplicates and empty values gone.

    `ids` and each filter: None or absent is no filter, empty matches nothing. `values` and `ranges` hold one
    entry for each field that is filtered, in the order of VALUE_FIELDS and RANGE_FIELDS. `needle` is casefolded.
    """

    limit: int
    offset: int
    sort: str
    descending: bool
    needle: str
    ids: tuple[str, ...] | None
    values: tuple[tuple[str, tuple[str, ...]], ...]
    ranges: tuple[tuple[str, Intervals], ...]
    fields: Fields

    def any_of(self, field: str) -> tuple[str, ...] | None:
        return dict(self.values).get(field)
