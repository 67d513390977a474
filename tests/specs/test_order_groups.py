"""What becomes of a customer's checkout, event by event."""

from decimal import Decimal
from itertools import permutations

from projector.readmodel.schema.tally import Fate
from tests.specs.fold import given, placed, then, updated, when


def test_a_checkout_over_two_sellers_is_one_group() -> None:
    groups = given(
        placed("shoes", "checkout", at="10:00", seller_id="anna", total=30, customer_id="carla", display_id=1),
        placed("hat", "checkout", at="10:01", seller_id="bert", total="12.50", customer_id="carla", display_id=2),
    )
    assert then(groups, "checkout") == {
        "id": "checkout",
        "customer_id": "carla",
        "seller_count": 2,
        "total": Decimal("42.5"),
        "created_at": "2026-06-01T10:00:00.000Z",
        "updated_at": "2026-06-01T10:01:00.000Z",
        "display_id": None,
        "cart_id": None,
        "currency_code": "eur",
        "seller_ids": ["anna", "bert"],
        "statuses": ["pending"],
        "sales_channel_ids": [],
        "payment_statuses": [],
        "fulfillment_statuses": [],
        "order_count": 2,
        "orders": [
            {
                "id": "shoes",
                "display_id": 1,
                "custom_display_id": None,
                "email": None,
                "seller_id": "anna",
                "customer_id": "carla",
                "sales_channel_id": None,
                "status": "pending",
                "payment_status": None,
                "fulfillment_status": None,
                "currency_code": "eur",
                "total": 30,
                "created_at": "2026-06-01T10:00:00.000Z",
                "updated_at": "2026-06-01T10:00:00.000Z",
                "canceled_at": None,
            },
            {
                "id": "hat",
                "display_id": 2,
                "custom_display_id": None,
                "email": None,
                "seller_id": "bert",
                "customer_id": "carla",
                "sales_channel_id": None,
                "status": "pending",
                "payment_status": None,
                "fulfillment_status": None,
                "currency_code": "eur",
                "total": Decimal("12.5"),
                "created_at": "2026-06-01T10:01:00.000Z",
                "updated_at": "2026-06-01T10:01:00.000Z",
                "canceled_at": None,
            },
        ],
    }


def test_two_orders_of_one_seller_count_one_seller() -> None:
    groups = given(placed("shoes", "checkout"), placed("hat", "checkout"))
    group = then(groups, "checkout")
    assert (group["seller_count"], group["order_count"], group["total"]) == (1, 2, 60)


def test_an_order_changes_nothing_of_another_group() -> None:
    groups = given(placed("shoes", "monday"), placed("hat", "tuesday", total=12))
    monday = groups.documents["monday"]
    when(groups, updated("hat", "tuesday", at="11:00", total=99))
    assert then(groups, "tuesday")["total"] == 99
    assert groups.documents["monday"] == monday


def test_a_refund_lowers_the_total() -> None:
    groups = given(placed("shoes", "checkout", total=30), placed("hat", "checkout", total=12))
    when(groups, updated("shoes", "checkout", at="11:00", total="25.50"))
    group = then(groups, "checkout")
    assert (group["total"], group["updated_at"]) == (Decimal("37.5"), "2026-06-01T11:00:00.000Z")


def test_cents_add_up_exactly() -> None:
    groups = given(placed("gum", "checkout", total=0.1), placed("match", "checkout", total="0.2"))
    assert then(groups, "checkout")["total"] == Decimal("0.3")


def test_a_canceled_order_still_counts() -> None:
    groups = given(placed("shoes", "checkout", total=30), placed("hat", "checkout", total=12))
    when(groups, updated("hat", "checkout", at="11:00", status="canceled"))
    group = then(groups, "checkout")
    assert (group["total"], group["statuses"], group["order_count"]) == (42, ["canceled", "pending"], 2)


def test_a_deleted_order_leaves_its_group() -> None:
    groups = given(placed("shoes", "checkout", seller_id="anna"), placed("hat", "checkout", seller_id="bert", total=12))
    when(groups, updated("hat", "checkout", at="11:00", deleted_at="2026-06-01T11:00:00Z"))
    group = then(groups, "checkout")
    assert (group["total"], group["seller_ids"], group["order_count"]) == (30, ["anna"], 1)


def test_a_group_without_orders_is_not_listed_until_one_is_restored() -> None:
    groups = given(placed("shoes", "checkout"))
    when(groups, updated("shoes", "checkout", at="11:00", deleted_at="2026-06-01T11:00:00Z"))
    assert then(groups, "checkout") is None
    when(groups, updated("shoes", "checkout", at="12:00", deleted_at=None))
    assert then(groups, "checkout")["total"] == 30


def test_a_late_update_does_not_overwrite_a_newer_one() -> None:
    groups = given(placed("shoes", "checkout"), updated("shoes", "checkout", at="12:00", status="completed"))
    when(groups, updated("shoes", "checkout", at="11:00", status="requires_action", total=25))
    group = then(groups, "checkout")
    assert group["statuses"] == ["completed"]
    assert group["total"] == 25, "no newer event has a total"


def test_a_higher_version_wins_against_a_later_clock() -> None:
    groups = given(placed("shoes", "checkout", version=1))
    when(groups, updated("shoes", "checkout", at="11:00", version=3, status="completed"))
    when(groups, updated("shoes", "checkout", at="12:00", version=2, status="pending"))
    assert then(groups, "checkout")["statuses"] == ["completed"]


def test_an_update_before_its_order_waits_for_it() -> None:
    groups = given(updated("shoes", "checkout", at="11:00", status="completed"))
    assert then(groups, "checkout") is None
    when(groups, placed("shoes", "checkout", at="10:00", total=30))
    group = then(groups, "checkout")
    assert (group["statuses"], group["total"]) == (["completed"], 30)


def test_the_same_event_twice_changes_nothing() -> None:
    refund = updated("shoes", "checkout", at="11:00", total=25)
    groups = given(placed("shoes", "checkout"), refund)
    before = groups.documents["checkout"]
    when(groups, refund)
    assert groups.documents["checkout"] == before
    assert (groups.fates[Fate.APPLIED], groups.fates[Fate.STALE]) == (2, 1)


def test_events_in_any_order_make_the_same_group() -> None:
    events = [
        placed("shoes", "checkout"),
        updated("shoes", "checkout", at="11:00", status="completed"),
        placed("hat", "checkout", at="10:01", seller_id="bert", total=12),
        updated("hat", "checkout", at="12:00", total=10),
    ]
    documents = {given(*some).documents["checkout"] for some in permutations(events)}
    assert len(documents) == 1
    assert then(given(*events), "checkout")["total"] == 40


def test_an_update_without_a_field_keeps_it_and_null_clears_it() -> None:
    groups = given(placed("shoes", "checkout", customer_id="carla", sales_channel_id="web"))
    when(groups, updated("shoes", "checkout", at="11:00", customer_id=None))
    group = then(groups, "checkout")
    assert (group["customer_id"], group["sales_channel_ids"]) == (None, ["web"])


def test_the_customer_and_the_time_are_those_of_the_earliest_order() -> None:
    groups = given(placed("hat", "checkout", at="10:05", customer_id="dora"))
    when(groups, placed("shoes", "checkout", at="10:00", customer_id="carla"))
    group = then(groups, "checkout")
    assert (group["customer_id"], group["created_at"]) == ("carla", "2026-06-01T10:00:00.000Z")


def test_the_group_says_who_checked_out_and_when() -> None:
    """Orders may be transferred to somebody else, and are written a little after the group."""
    group = {"order_group_customer_id": "carla", "order_group_created_at": "2026-06-01T09:59:59.985Z"}
    groups = given(placed("shoes", "checkout", customer_id="carla", **group), placed("hat", "checkout", **group))
    when(groups, updated("shoes", "checkout", at="11:00", customer_id="dora"))
    found = then(groups, "checkout")
    assert (found["customer_id"], found["created_at"]) == ("carla", "2026-06-01T09:59:59.985Z")
    assert [order["customer_id"] for order in found["orders"]] == [None, "dora"]
    when(groups, updated("hat", "checkout", at="12:00", order_group_customer_id=None, order_group_created_at=None))
    found = then(groups, "checkout")
    assert found["customer_id"] is None, "the latest event says: a guest"
    assert found["created_at"] == "2026-06-01T09:59:59.985Z", "null tells no time"


def test_payment_and_fulfillment_are_collected_from_the_orders() -> None:
    groups = given(
        placed("shoes", "checkout", payment_status="captured", fulfillment_status="shipped"),
        placed("hat", "checkout", payment_status="authorized", canceled_at="2026-06-01T12:00:00+02:00"),
    )
    found = then(groups, "checkout")
    assert (found["payment_statuses"], found["fulfillment_statuses"]) == (["authorized", "captured"], ["shipped"])
    assert [order["canceled_at"] for order in found["orders"]] == ["2026-06-01T10:00:00.000Z", None]


def test_currencies_are_compared_in_lower_case() -> None:
    groups = given(placed("shoes", "checkout", currency_code="EUR"), placed("hat", "checkout", currency_code="eur"))
    assert then(groups, "checkout")["currency_code"] == "eur"


def test_two_currencies_are_none() -> None:
    groups = given(placed("shoes", "checkout", currency_code="eur"), placed("hat", "checkout", currency_code="usd"))
    assert then(groups, "checkout")["currency_code"] is None


def test_a_bad_event_is_parked_and_the_next_one_applied() -> None:
    groups = given(placed("shoes", "checkout", total={"amount": 30}), placed("hat", "checkout", total=12))
    assert groups.parked == ["$.data.total: expected decimal, got object"]
    assert then(groups, "checkout")["total"] == 12


def test_an_event_of_another_type_is_passed_over() -> None:
    groups = given({**placed("shoes", "checkout"), "type": "order.shipped"})
    assert (groups.fates[Fate.PASSED_OVER], groups.parked, then(groups, "checkout")) == (1, [], None)
