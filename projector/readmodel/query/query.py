"""A list query as one value."""

from msgspec import Struct

from projector.readmodel.query.fields import Fields
from projector.readmodel.query.intervals import Intervals

DATE_FIELDS = ("created_at", "updated_at")
NUMBER_FIELDS = ("total", "seller_count", "display_id")
RANGE_FIELDS = DATE_FIELDS + NUMBER_FIELDS


class Query(Struct, frozen=True):
    """A list query, normalised: filters are sorted, without duplicates and empty values. Equal ones are the same list.

    `values` and `ranges` have an entry for each filtered field, in the order of VALUE_FIELDS and RANGE_FIELDS. An empty
    filter matches nothing; `ids` of None is no filter. `needle` is the casefolded `q`.
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

    def values_of(self, field: str) -> tuple[str, ...] | None:
        return dict(self.values).get(field)
