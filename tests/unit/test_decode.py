import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from events.contract.decode import decode, tie_break
from events.errors import InvalidEvent
from events.logs.log import Partition, Record
from projector.project import decode_record
from tests.poison import FINE, POISON, Poison, event


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_errors_have_a_path(poison: Poison) -> None:
    with pytest.raises(InvalidEvent) as found:
        decode(poison.value, poison.headers)
    assert str(found.value) == poison.reason


@pytest.mark.parametrize("fine", FINE, ids=lambda fine: fine.name)
def test_allowed_events_are_decoded(fine: Poison) -> None:
    assert decode(fine.value, fine.headers) is not None


def test_other_types_are_passed_over_whatever_their_data() -> None:
    assert decode(json.dumps({**event(), "type": "order.placed", "data": [1, 2]}).encode()) is None
    assert (
        decode(json.dumps({k: v for k, v in event().items() if k != "data"} | {"type": "cart.created"}).encode())
        is None
    )


def test_both_modes_decode_equally() -> None:
    headers = tuple((f"ce_{name}", event()[name].encode()) for name in ("specversion", "id", "source", "type", "time"))
    assert decode(json.dumps(event()["data"]).encode(), headers) == decode(json.dumps(event()).encode())


def test_all_fields_are_decoded() -> None:
    found = decode(json.dumps(event(updated_at="2026-06-01T12:00:00.000001+02:00", display_id=None)).encode())
    assert found is not None
    second = 1_000_000
    created = int(datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp()) * second
    assert (found.group_id, found.order_id) == ("og_1", "order_1")
    assert found.revision == (1, created + 1, tie_break("/commerce/orders", "evt_1"))
    assert found.values[:8] == (created, "sel_01", "pending", 3700 * second, "cus_01", "sc_web", "eur", None)
    assert found.values[8:] == (UNSET,) * 14


def test_fields_of_marketplaces_are_decoded() -> None:
    time = "2026-06-01T12:00:00.000001+02:00"
    fields = {
        **{"order_group_created_at": time, "order_group_customer_id": "cus_2", "canceled_at": None},
        **{"payment_status": "captured", "fulfillment_status": "shipped", "custom_display_id": "A-1"},
        **{"seller_name": "Anna's", "email": "ada@example.com", "customer_name": "Ada Byron"},
        **{"customer_first_name": "Ada", "customer_last_name": None},
    }
    sent = event()
    found = decode(json.dumps({**sent, "data": {**sent["data"], **fields}}).encode())
    assert found is not None
    us = int(datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000 + 1
    assert found.values[11:16] == (us, "cus_2", "captured", "shipped", None)
    assert found.values[16:] == ("A-1", "Anna's", "ada@example.com", "Ada Byron", "Ada", None)


def test_currencies_are_in_lower_case() -> None:
    found = decode(json.dumps(event(currency_code="EuR")).encode())
    assert found is not None
    assert found.values[6] == "eur"


def test_the_tie_break_follows_the_contract() -> None:
    """BLAKE2b-64 of "/a", NUL, "b", computed with another implementation (b2sum -l 64)."""
    assert tie_break("/a", "b") == 0x8A85096B3E4331BC


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9) + 1, max_value=10**9 - 1))
def test_amounts_are_exact(amount: Decimal) -> None:
    for text in (f"{amount:f}", json.dumps(f"{amount:f}"), f"{amount:e}"):
        found = decode(json.dumps(event()).replace("3700", text).encode())
        assert found is not None
        assert Decimal(found.values[3]) == amount * 10**6


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_invalid_event(value: bytes) -> None:
    with contextlib.suppress(InvalidEvent):
        decode(value)


def test_names_are_dropped_without_personal_data() -> None:
    names = ("email", "seller_name", "customer_name", "customer_first_name", "customer_last_name")
    sent = event()
    value = json.dumps({**sent, "data": {**sent["data"], **dict.fromkeys(names, "Ada"), "cart_id": "cart_1"}}).encode()
    found = decode_record(Record(Partition("orders", 0), 0, 0, None, value), personal_data=False)
    assert found.event is not None
    assert found.event == decode(json.dumps({**sent, "data": {**sent["data"], "cart_id": "cart_1"}}).encode())


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_reasons_have_no_value_without_personal_data(poison: Poison) -> None:
    record = Record(Partition("orders", 0), 0, 0, None, poison.value, poison.headers)
    found = decode_record(record, personal_data=False)
    assert found.problem is not None
    assert not found.with_payload
    assert poison.reason.startswith(str(found.problem))
    assert "got" not in str(found.problem)
