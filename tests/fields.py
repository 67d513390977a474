"""The fields of events and documents, as the contracts have them: the one place for tests. Imports nothing."""

# The fields of an order that its events set, and that have a revision each.
EVENT_FIELDS = (
    *("created_at", "seller_id", "status", "total", "customer_id", "sales_channel_id"),
    *("currency_code", "display_id", "cart_id", "order_group_display_id", "deleted_at"),
)
# The fields of a group in a list without `fields`, then of the whole document, both in the order of responses.
DEFAULT_FIELDS = ("id", "customer_id", "seller_count", "total", "created_at", "updated_at")
GROUP_FIELDS = (
    *DEFAULT_FIELDS,
    *("display_id", "cart_id", "currency_code", "seller_ids", "statuses", "sales_channel_ids"),
    *("order_count", "orders"),
)
# The fields of each of its orders.
ORDER_FIELDS = (
    *("id", "display_id", "seller_id", "customer_id", "sales_channel_id", "status"),
    *("currency_code", "total", "created_at", "updated_at"),
)
TIME_FIELDS = ("created_at", "updated_at")
# What lists filter by: one of several values, or ranges. `id` is a filter by value, too.
VALUE_FIELDS = ("customer_id", "seller_id", "status", "sales_channel_id")
RANGE_FIELDS = (*TIME_FIELDS, "total", "seller_count", "display_id")
# What lists sort by.
SORT_FIELDS = (*RANGE_FIELDS, "id")
