"""The fields of a group and of its orders, and a selection of them."""

from msgspec import Struct

# In the order of the stored document, which is also the order of every response.
DEFAULT_FIELDS = ("id", "customer_id", "seller_count", "total", "created_at", "updated_at")
MORE_FIELDS = (
    "display_id",
    "cart_id",
    "currency_code",
    "seller_ids",
    "statuses",
    "sales_channel_ids",
    "order_count",
    "orders",
)
GROUP_FIELDS = DEFAULT_FIELDS + MORE_FIELDS
ORDER_FIELDS = (
    "id",
    "display_id",
    "seller_id",
    "customer_id",
    "sales_channel_id",
    "status",
    "currency_code",
    "total",
    "created_at",
    "updated_at",
)


class Fields(Struct, frozen=True):
    """`group` is in document order; `order`, the fields of each order, is empty unless `group` has `orders`."""

    group: tuple[str, ...]
    order: tuple[str, ...] = ()
