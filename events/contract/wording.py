"""Texts and examples of the generated documents in docs/."""

from typing import Any

from events.contract.decode import CREATED, DEPTH_MAX, EVENT_BYTES_MAX, UPDATED

STRUCTURED_TYPE = "application/cloudevents+json; charset=UTF-8"
BINARY_TYPE = "application/json"

RULES = f"""\
An order is one seller's part of a checkout. An order group is the whole checkout: it is never published, and exists \
only as the fold of its orders.

**Absent and null.** A field that is absent is unchanged; a field that is null is cleared. So an order.updated may be \
a full snapshot or a patch. Fields that are not listed are ignored, at every level.

**Revision.** An event's revision is the triple of `version` (0 without one), `updated_at` in microseconds, and the \
64-bit BLAKE2b digest of `source`, a NUL and `id`, compared in that order. Every field of an order keeps the value \
with the greatest revision: events may come in any order, any number of times, from several publishers.

**Record key.** `order_group_id`. Any other key works too, only slower.

**Content modes.** Structured: the value is the whole event, with the header `content-type: {STRUCTURED_TYPE}`. \
Binary: the attributes are the headers `ce_specversion`, `ce_id`, `ce_source`, `ce_type` and `ce_time`, the value is \
`data` alone, with the header `content-type: {BINARY_TYPE}`. A record with `ce_specversion` or `ce_id` is read so.

**Limits.** A value has at most {EVENT_BYTES_MAX} bytes (1 MiB) and is nested at most {DEPTH_MAX} deep. Integers are \
written without a point or an exponent, amounts have at most 15 significant digits, 6 of them after the point, and \
times lie in the years 1 to 9999 of UTC.

An event that breaks the contract is parked with its raw bytes and the reason; all others go on. An event of another \
type is counted and passed over."""

SUMMARIES = {
    CREATED: "An order that is new: everything that makes it count in its group.",
    UPDATED: "An order that has changed: a full snapshot, or only what is different.",
}

_NULLABLE = " Null clears it, absent leaves it."
MEANINGS = {
    "id": "The order.",
    "order_group_id": "The checkout that the order belongs to. Never changes for an order. Also the record key.",
    "updated_at": "When the order got this state, RFC 3339 with offset: the second part of the revision.",
    "version": "Grows with the order: the first part of the revision, 0 where it is absent.",
    "created_at": "When the order was placed, RFC 3339 with offset.",
    "seller_id": "Whose part of the checkout this is.",
    "status": "pending, completed, draft, archived, canceled or requires_action; others are taken as they are.",
    "total": "An exact decimal, as a number or a string: at most 15 significant digits, 6 of them after the point.",
    "customer_id": "Null for a guest." + _NULLABLE,
    "sales_channel_id": "Where it was sold." + _NULLABLE,
    "currency_code": "Three letters, as in ISO 4217; taken in lower case." + _NULLABLE,
    "display_id": "The order's own number." + _NULLABLE,
    "cart_id": "The cart that was checked out." + _NULLABLE,
    "order_group_display_id": "The group's number, the same in all its orders." + _NULLABLE,
    "order_group_created_at": "When the group itself was made, the same in all its orders; without it, when its "
    "earliest order was placed." + _NULLABLE,
    "order_group_customer_id": "Who checked out, if the orders may be transferred to somebody else; null for a guest. "
    "Without it, the customer of the earliest order.",
    "payment_status": "Such as not_paid, authorized, captured or refunded; others are taken as they are." + _NULLABLE,
    "fulfillment_status": "Such as not_fulfilled, shipped or delivered; others are taken as they are." + _NULLABLE,
    "canceled_at": "When the order was canceled, RFC 3339 with offset." + _NULLABLE,
    "custom_display_id": "The order's own number, if it is no integer." + _NULLABLE,
    "seller_name": "Searched by `q`." + _NULLABLE,
    "email": "The customer's e-mail, searched by `q`. Personal data." + _NULLABLE,
    "customer_name": "Where the two parts are not known; searched by `q`. Personal data." + _NULLABLE,
    "customer_first_name": "Searched by `q`. Personal data." + _NULLABLE,
    "customer_last_name": "Searched by `q`. Personal data." + _NULLABLE,
    "deleted_at": "When the order was deleted, RFC 3339 with offset. Takes it out of its group; null puts it back.",
}
ATTRIBUTES = {
    "specversion": "The version of CloudEvents.",
    "id": "Unique together with `source`. The same event sent again keeps it, and then changes nothing.",
    "source": "URI reference of the publisher, such as /commerce/orders.",
    "type": "The kind of event.",
    "time": "When it happened, RFC 3339 with offset; without it, the timestamp of the record.",
}
PASSED_OVER = {
    "subject": "Allowed and not read.",
    "datacontenttype": "Allowed and not read: `data` is JSON.",
    "dataschema": "Allowed and not read.",
}

_ORDER = {"id": "order_01A", "order_group_id": "og_01HXYZ8Q2M4N6P8R0T2V4W6X8Y"}
EXAMPLES: dict[str, dict[str, Any]] = {
    CREATED: {
        "specversion": "1.0",
        "id": "evt_01J9",
        "source": "/commerce/orders",
        "type": CREATED,
        "time": "2026-06-01T10:00:00.000Z",
        "data": {
            **_ORDER,
            "version": 1,
            "seller_id": "sel_01",
            "customer_id": "cus_01HXYZ",
            "sales_channel_id": "sc_web",
            "status": "pending",
            "currency_code": "eur",
            "total": 3700,
            "created_at": "2026-06-01T10:00:00.000Z",
            "updated_at": "2026-06-01T10:00:00.000Z",
        },
    },
    UPDATED: {
        "specversion": "1.0",
        "id": "evt_01JA",
        "source": "/commerce/orders",
        "type": UPDATED,
        "time": "2026-06-02T08:30:00.000Z",
        "data": {
            **_ORDER,
            "version": 2,
            "status": "completed",
            "sales_channel_id": None,
            "updated_at": "2026-06-02T08:30:00.000Z",
        },
    },
}
