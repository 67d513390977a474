"""A list query as one value."""

from msgspec import Struct

from projector.readmodel.query.aggregates import NONE, Aggregates
from projector.readmodel.query.fields import Fields
from projector.readmodel.query.intervals import Bounds
from projector.readmodel.query.mark import Mark

DATE_FIELDS = ("created_at", "updated_at")
NUMBER_FIELDS = ("total", "seller_count", "display_id")
RANGE_FIELDS = DATE_FIELDS + NUMBER_FIELDS


class Query(Struct, frozen=True):
    """A list query, normalised: filters are sorted, without duplicates and empty values. Equal ones are the same list.

    `values` and `ranges` have an entry for each filtered field, in the order of VALUE_FIELDS and RANGE_FIELDS. An empty
    filter matches nothing; `ids` of None is no filter. `needle`: what the line of a group in `text` has; for `q`, the
    casefolded text. `walks`: whether the page begins after `mark`, None for the first row, instead of at `offset`.
    `aggregates`: what is counted beside the page.
    """

    limit: int
    offset: int
    sort: str
    descending: bool
    needle: bytes
    ids: tuple[str, ...] | None
    values: tuple[tuple[str, tuple[str, ...]], ...]
    ranges: tuple[tuple[str, Bounds], ...]
    fields: Fields
    walks: bool = False
    mark: Mark | None = None
    aggregates: Aggregates = NONE

    def values_of(self, field: str) -> tuple[str, ...] | None:
        return dict(self.values).get(field)
