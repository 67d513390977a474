"""The fields of events and documents, as the contracts have them: the one place for tests. Imports nothing."""

# The fields of an order that its events set, and that have a revision each.
EVENT_FIELDS = (
    *("created_at", "seller_id", "status", "total", "customer_id", "sales_channel_id"),
    *("currency_code", "display_id", "cart_id", "order_group_display_id", "deleted_at"),
    *("order_group_created_at", "order_group_customer_id", "payment_status", "fulfillment_status", "canceled_at"),
    *("custom_display_id", "seller_name", "email", "customer_name", "customer_first_name", "customer_last_name"),
)
EVENT_TIMES = ("created_at", "deleted_at", "order_group_created_at", "canceled_at")
# The fields of a group in a list without `fields`, then of the whole document, both in the order of responses.
DEFAULT_FIELDS = ("id", "customer_id", "seller_count", "total", "created_at", "updated_at")
GROUP_FIELDS = (
    *DEFAULT_FIELDS,
    *("display_id", "cart_id", "currency_code", "seller_ids", "statuses", "sales_channel_ids"),
    *("payment_statuses", "fulfillment_statuses", "order_count", "orders"),
)
# The fields of each of its orders.
ORDER_FIELDS = (
    *("id", "display_id", "custom_display_id", "email", "seller_id", "customer_id", "sales_channel_id", "status"),
    *("payment_status", "fulfillment_status", "currency_code", "total", "created_at", "updated_at", "canceled_at"),
)
# Objects in an order that is asked for them.
RELATIONS = {"seller": ("id", "name"), "customer": ("id", "first_name", "last_name")}
TIME_FIELDS = ("created_at", "updated_at")
ORDER_TIMES = (*TIME_FIELDS, "canceled_at")
# What lists filter by: one of several values, or ranges. `id` is a filter by value, too.
VALUE_FIELDS = (
    *("customer_id", "seller_id", "status", "sales_channel_id"),
    *("payment_status", "fulfillment_status", "currency_code"),
)
# What lists count the values of.
FACET_FIELDS = tuple(field for field in VALUE_FIELDS if field != "customer_id")
RANGE_FIELDS = (*TIME_FIELDS, "total", "seller_count", "display_id")
# What lists sort by.
SORT_FIELDS = RANGE_FIELDS
