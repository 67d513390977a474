"""The data of `order.created` and `order.updated`, and their form for the fold.

The structs are the contract: they validate events, and the JSON Schema in docs/ is generated from them.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, structs

from events.contract.amount import amount_of
from events.errors import InvalidEvent

# Integers stay exact in every reader, JavaScript and the scores of a sorted set included.
INTEGER_MAX = 2**53 - 1

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reference = Annotated[str, Meta(max_length=255)]
Status = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(max_length=64)]
Email = Annotated[str, Meta(max_length=320)]
Currency = Annotated[str, Meta(pattern="^[A-Za-z]{3}(?!\\n)$", description="expected 3 letters")]
Version = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Number = Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset")]
Amount = Annotated[
    Raw,
    Meta(
        description="Exact decimal: at most 15 significant digits, 6 of them after the point.",
        extra_json_schema={
            "anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
            ]
        },
    ),
]


class _Order(Struct, gc=False, kw_only=True):
    """Fields of both events. UNSET is absent, None is null."""

    id: Id
    order_group_id: Id
    updated_at: Time
    version: Version | UnsetType = UNSET
    customer_id: Reference | None | UnsetType = UNSET
    sales_channel_id: Reference | None | UnsetType = UNSET
    currency_code: Currency | None | UnsetType = UNSET
    display_id: Number | None | UnsetType = UNSET
    cart_id: Reference | None | UnsetType = UNSET
    order_group_display_id: Number | None | UnsetType = UNSET
    deleted_at: Time | None | UnsetType = UNSET
    order_group_created_at: Time | None | UnsetType = UNSET
    order_group_customer_id: Reference | None | UnsetType = UNSET
    payment_status: Word | None | UnsetType = UNSET
    fulfillment_status: Word | None | UnsetType = UNSET
    canceled_at: Time | None | UnsetType = UNSET
    custom_display_id: Reference | None | UnsetType = UNSET
    seller_name: Reference | None | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    customer_name: Reference | None | UnsetType = UNSET
    customer_first_name: Reference | None | UnsetType = UNSET
    customer_last_name: Reference | None | UnsetType = UNSET


class OrderCreated(_Order, gc=False, kw_only=True):
    created_at: Time
    seller_id: Id
    status: Status
    total: Amount


class OrderUpdated(_Order, gc=False, kw_only=True):
    created_at: Time | UnsetType = UNSET
    seller_id: Id | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    total: Amount | UnsetType = UNSET


# version, updated_at in microseconds, tie-break: compared in that order.
Revision = tuple[int, int, int]

# The fields that keep a revision each, in the order of `OrderEvent.values`.
FIELDS = (
    "created_at",
    "seller_id",
    "status",
    "total",
    "customer_id",
    "sales_channel_id",
    "currency_code",
    "display_id",
    "cart_id",
    "order_group_display_id",
    "deleted_at",
    "order_group_created_at",
    "order_group_customer_id",
    "payment_status",
    "fulfillment_status",
    "canceled_at",
    "custom_display_id",
    "seller_name",
    "email",
    "customer_name",
    "customer_first_name",
    "customer_last_name",
)


# The fields that name people; see `without_personal_data`.
PERSONAL_FIELDS = ("seller_name", "email", "customer_name", "customer_first_name", "customer_last_name")


class OrderEvent(Struct, frozen=True, gc=False):
    """One event, ready for the merge.

    `values` is aligned with FIELDS: UNSET for an absent field, None for null; times are Unix microseconds,
    `total` is in millionths.
    """

    group_id: str
    order_id: str
    revision: Revision
    values: tuple[Any, ...]


def without_personal_data(event: OrderEvent) -> OrderEvent:
    """Returns the event as if PERSONAL_FIELDS were absent."""
    named = zip(FIELDS, event.values, strict=True)
    return structs.replace(event, values=tuple(UNSET if name in PERSONAL_FIELDS else value for name, value in named))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The years 1 to 9999 in UTC, which RFC 3339 can express.
_YEAR_1 = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_YEAR_10000 = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def unix_us(time: datetime, path: str) -> int:
    """Returns Unix microseconds. Raises InvalidEvent where the offset moves the time out of the years 1 to 9999."""
    since = time - _EPOCH
    us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    if not _YEAR_1 <= us <= _YEAR_10000:
        raise InvalidEvent(path, f"expected a date-time in the years 1 to 9999 of UTC, got {time.isoformat()}")
    return us


def order_event(data: OrderCreated | OrderUpdated, tie_break: int) -> OrderEvent:
    """Converts `data`. Raises InvalidEvent for what structs cannot check: digits of `total`, the year of a time."""
    currency, version = data.currency_code, data.version
    return OrderEvent(
        data.order_group_id,
        data.id,
        (0 if version is UNSET else version, unix_us(data.updated_at, "$.data.updated_at"), tie_break),
        (
            _us(data.created_at, "$.data.created_at"),
            data.seller_id,
            data.status,
            UNSET if data.total is UNSET else amount_of(bytes(data.total), "$.data.total"),
            data.customer_id,
            data.sales_channel_id,
            currency.lower() if isinstance(currency, str) else currency,
            data.display_id,
            data.cart_id,
            data.order_group_display_id,
            _us(data.deleted_at, "$.data.deleted_at"),
            _us(data.order_group_created_at, "$.data.order_group_created_at"),
            data.order_group_customer_id,
            data.payment_status,
            data.fulfillment_status,
            _us(data.canceled_at, "$.data.canceled_at"),
            data.custom_display_id,
            data.seller_name,
            data.email,
            data.customer_name,
            data.customer_first_name,
            data.customer_last_name,
        ),
    )


def _us(time: datetime | UnsetType | None, path: str) -> int | UnsetType | None:
    return unix_us(time, path) if isinstance(time, datetime) else time
