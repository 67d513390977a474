"""An order as the fold keeps it: the values of its fields, and the revision that set each."""

from typing import Any

from msgspec import Raw, Struct

from events.contract.order import FIELDS, Revision

CREATED_AT, SELLER_ID, STATUS, TOTAL = 0, 1, 2, 3
CUSTOMER_ID, SALES_CHANNEL_ID, CURRENCY_CODE, DISPLAY_ID = 4, 5, 6, 7
CART_ID, GROUP_DISPLAY_ID, DELETED_AT = 8, 9, 10
GROUP_CREATED_AT, GROUP_CUSTOMER_ID, PAYMENT_STATUS, FULFILLMENT_STATUS, CANCELED_AT = 11, 12, 13, 14, 15
CUSTOM_DISPLAY_ID, SELLER_NAME, EMAIL, CUSTOMER_NAME, CUSTOMER_FIRST_NAME, CUSTOMER_LAST_NAME = 16, 17, 18, 19, 20, 21


class Order(Struct, gc=False):
    """Changed in place by `projector.fold.merge`.

    `latest`: the greatest revision seen, which is the order's own updated_at.
    `values`, `revisions`: aligned with FIELDS; a field that no event has set is None in both.
    `packed`: a cache of its bytes in the record; None since the last change.
    """

    id: str
    latest: Revision
    values: list[Any]
    revisions: list[Revision | None]
    packed: Raw | None = None

    @property
    def updated_at(self) -> int:
        """Unix microseconds."""
        return self.latest[1]

    @property
    def counted(self) -> bool:
        """Whether the order is not deleted and complete: the four required fields, which cannot be null, are set."""
        values = self.values
        return values[DELETED_AT] is None and None not in values[:4]


assert FIELDS[CREATED_AT] == "created_at"
assert FIELDS[DELETED_AT] == "deleted_at"
assert FIELDS[CANCELED_AT] == "canceled_at"
assert FIELDS[CUSTOMER_LAST_NAME] == "customer_last_name"
