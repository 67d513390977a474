"""Events for property tests: few ids and values, so that they conflict often."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

BASE = datetime(2026, 6, 1, 10, tzinfo=UTC)
ZONES = (UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8)))


def _time(us: int, zone: timezone) -> str:
    return (BASE + timedelta(microseconds=us)).astimezone(zone).isoformat()


times = st.builds(_time, st.sampled_from([0, 1, 999, 1000, 1001, 60_000_000, 3_600_000_000]), st.sampled_from(ZONES))
amounts = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.sampled_from([0, 3700, 74.5, "74.50", "0.000001", "-0.1", 0.1, 0.2, "1e3", 999999999999999]),
)
integers = st.one_of(st.none(), st.sampled_from([1, 7, -3, 2**53 - 1]))
customers = st.sampled_from([None, "cus_1", "cus_2", "", 'cüs "3"\\'])

texts = st.sampled_from([None, "", "Ada", "Straße", "ada@example.com"])

required = {
    "created_at": times,
    "seller_id": st.sampled_from(["sel_1", "sel_2", "sel_3"]),
    "status": st.sampled_from(["pending", "completed", "canceled"]),
    "total": amounts,
}
optional = {
    "version": st.integers(0, 3),
    "customer_id": customers,
    "sales_channel_id": st.sampled_from([None, "sc_1", "sc_2"]),
    "currency_code": st.sampled_from([None, "eur", "usd", "EUR"]),
    "display_id": integers,
    "cart_id": st.sampled_from([None, "cart_1", "cart_2"]),
    "order_group_display_id": integers,
    "deleted_at": st.one_of(st.none(), times),
    "order_group_created_at": st.one_of(st.none(), times),
    "order_group_customer_id": customers,
    "payment_status": st.sampled_from([None, "captured", "not_paid", ""]),
    "fulfillment_status": st.sampled_from([None, "shipped", ""]),
    "canceled_at": st.one_of(st.none(), times),
    "custom_display_id": st.sampled_from([None, "A-1", ""]),
    "seller_name": texts,
    "email": texts,
    "customer_name": texts,
    "customer_first_name": texts,
    "customer_last_name": texts,
}
ids = {
    "id": st.sampled_from(["order_1", "order_2", "order_3"]),
    "order_group_id": st.sampled_from(["og_1", "og_2"]),
    "updated_at": times,
}
created = st.fixed_dictionaries({**ids, **required}, optional=optional)
updated = st.fixed_dictionaries(ids, optional={**required, **optional})


@st.composite
def histories(draw: st.DrawFn, min_size: int = 1, max_size: int = 12) -> list[dict[str, Any]]:
    """Distinct events, in no particular order."""
    events = []
    for number in range(draw(st.integers(min_size, max_size))):
        kind = draw(st.sampled_from(["order.created", "order.updated", "order.updated"]))
        events.append(
            {
                "specversion": "1.0",
                "id": f"evt_{number}",
                "source": draw(st.sampled_from(["/a", "/b"])),
                "type": kind,
                "data": draw(created if kind == "order.created" else updated),
            }
        )
    return events
