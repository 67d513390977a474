"""The fields of a group and of its orders, and a selection of them."""

from msgspec import Struct

# In the order of the document, which is also the order of every response.
DEFAULT_FIELDS = ("id", "customer_id", "seller_count", "total", "created_at", "updated_at")
MORE_FIELDS = (
    "display_id",
    "cart_id",
    "currency_code",
    "seller_ids",
    "statuses",
    "sales_channel_ids",
    "payment_statuses",
    "fulfillment_statuses",
    "order_count",
    "orders",
)
GROUP_FIELDS = DEFAULT_FIELDS + MORE_FIELDS
ORDER_FIELDS = (
    "id",
    "display_id",
    "custom_display_id",
    "email",
    "seller_id",
    "customer_id",
    "sales_channel_id",
    "status",
    "payment_status",
    "fulfillment_status",
    "currency_code",
    "total",
    "created_at",
    "updated_at",
    "canceled_at",
)
# Objects in an order, and their fields. An order contains them only when asked for.
RELATIONS = {"seller": ("id", "name"), "customer": ("id", "first_name", "last_name")}


class Fields(Struct, frozen=True):
    """`group` and `order`, the fields of each order, are in document order; `order` is empty unless `group` has
    `orders`. `relations`: of each relation that orders contain the fields, in the order of RELATIONS.
    """

    group: tuple[str, ...]
    order: tuple[str, ...] = ()
    relations: tuple[tuple[str, tuple[str, ...]], ...] = ()
