import json
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from tests.poison import FINE, POISON, Poison, event
from tests.verdicts import TYPES, decoder_takes, schema_takes

# Cases that a schema cannot express, or that only the decoder accepts. All others must agree.
SCHEMA_CANNOT_SAY = [
    pytest.param(event(total=1234567890123456), id="more than 15 digits"),
    pytest.param(event(total="0.1234567"), id="more than 6 digits after the point"),
    pytest.param(event(total=1e300), id="a large exponent"),
    pytest.param(event(total="1" * 65), id="an endless amount"),
    pytest.param(event(version=2.0), id="an integer written with a point"),
    pytest.param(event(display_id=1e3), id="an integer written with an exponent"),
    pytest.param(event(updated_at="0001-01-01T00:00:00+05:00"), id="before the year 1 in UTC"),
    pytest.param(event(deleted_at="9999-12-31T23:59:59-05:00"), id="after the year 9999 in UTC"),
    pytest.param(event(created_at="0000-01-01T00:00:00Z"), id="the year 0"),
    pytest.param(event(created_at="2016-12-31T23:59:60Z"), id="a leap second"),
    pytest.param(event(note="y" * 1024 * 1024), id="more than 1 MiB"),
    pytest.param(event(note=json.loads("[" * 31 + "]" * 31)), id="deeper than 32"),
]
DECODER_IS_KINDER = [
    pytest.param(event(updated_at="2026-06-01 10:00:00Z"), id="a blank between date and time"),
    pytest.param(event(updated_at="2026-06-01T10:00:00+0200"), id="an offset without a colon"),
]


@pytest.mark.parametrize("found", SCHEMA_CANNOT_SAY)
def test_the_decoder_checks_what_a_schema_cannot(found: dict[str, Any]) -> None:
    assert schema_takes(found)
    assert not decoder_takes(json.dumps(found).encode())


@pytest.mark.parametrize("found", DECODER_IS_KINDER)
def test_the_decoder_accepts_two_more_spellings_of_a_time(found: dict[str, Any]) -> None:
    assert not schema_takes(found)
    assert decoder_takes(json.dumps(found).encode())


def _is_for_the_decoder(poison: Poison) -> bool:
    words = ("digits", "at most 1048576 bytes", "nesting", "years 1 to 9999")
    return any(word in poison.reason for word in words)


def _structured(found: list[Poison]) -> list[Any]:
    """Returns events that are JSON, in structured mode."""
    chosen = []
    for one in found:
        try:
            document = json.loads((one.value or b"").decode())
        except (ValueError, RecursionError):
            continue
        if not any(name.startswith("ce_") for name, _ in one.headers) and not _is_for_the_decoder(one):
            chosen.append(pytest.param(document, id=one.name))
    assert len(chosen) > len(found) / 3
    return chosen


@pytest.mark.parametrize("found", _structured(POISON))
def test_the_schema_refuses_every_bad_event(found: Any) -> None:
    assert not schema_takes(found)


@pytest.mark.parametrize("found", _structured(FINE))
def test_the_schema_accepts_every_good_event(found: Any) -> None:
    assert schema_takes(found)


def _date_time(us: int, offset: int | None, form: str) -> str:
    seconds, fraction = divmod(us, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{2020 + days % 10:04}-{1 + days % 12:02}-{1 + days % 29:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}"
    zone = "Z" if offset is None else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    return form.format(f"{text}:{seconds % 60:02}", f"{fraction:06}", zone)


# Bad ones among them: the 29th of February three years in four, offsets up to a day, forms without the offset.
times = st.builds(
    _date_time,
    st.integers(0, 10**15),
    st.none() | st.integers(-1500, 1500),
    st.sampled_from(["{0}{2}", "{0}.{1}{2}", "{0}.{1}000{2}", "{0}", "{0}.{2}", " {0}{2}", "{0}{2}\n", "{0},{1}{2}"]),
)
amounts = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.decimals(-(10**9), 10**9, places=6).map(str),
    st.integers(-(10**6), 10**6).map(lambda cents: cents / 100),
    st.sampled_from(["1e3", "-1E+3", "5e-1", "+1", ".5", "5.", "1e", "--1", "0x1", "١", "1\n", "NaN", "", "1 000"]),
    # Without a digit it is no amount.
    st.text("-+.eE_ \n€", max_size=4),
)
EDGES_OF_INTEGERS = [-1, 0, 1, 2**53 - 1, 2**53, 1 - 2**53, -(2**53), 2**63, 2**64, 1.5, "1"]
integers = st.integers(-10, 10) | st.sampled_from(EDGES_OF_INTEGERS)
currencies = st.sampled_from(["eur", "USD", "euro", "eu", "", "€€€", "e1r", " eur", "eur ", "eur\n"])
EDGES_OF_STRINGS = [letter * length for letter in "xé😀\0\n" for length in (0, 1, 64, 65, 255, 256, 320, 321)]
strings = st.sampled_from(EDGES_OF_STRINGS)
anything = st.sampled_from([None, True, False, 0, 7, 1.5, "", "x", [], ["x"], {}, {"id": "x"}])

FIELDS = {
    **dict.fromkeys(("id", "order_group_id", "seller_id", "status"), strings),
    **dict.fromkeys(("customer_id", "sales_channel_id", "cart_id", "order_group_customer_id"), strings | st.none()),
    **dict.fromkeys(("payment_status", "fulfillment_status", "custom_display_id", "seller_name"), strings | st.none()),
    **dict.fromkeys(("email", "customer_name", "customer_first_name", "customer_last_name"), strings | st.none()),
    **dict.fromkeys(("created_at", "updated_at"), times),
    **dict.fromkeys(("version", "display_id", "order_group_display_id"), integers | st.none()),
    **dict.fromkeys(("deleted_at", "order_group_created_at", "canceled_at"), times | st.none()),
    "currency_code": currencies | st.none(),
    "total": amounts,
    "note": anything,
}
ATTRIBUTES = {
    "specversion": st.sampled_from(["1.0", "1", "1.0.2", "", 1.0]),
    "id": strings,
    "source": strings,
    "time": times | st.none(),
    "subject": anything,
    "datacontenttype": anything,
    "note": anything,
    "data": anything,
}
ABSENT = object()


def _changed(found: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**found, **changes}.items() if value is not ABSENT}


def _some(values: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Up to `most` of the names, each with a valid value, with any value, or removed."""
    names = st.lists(st.sampled_from(sorted(values)), max_size=most, unique=True)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {name: st.one_of(values[name], values[name], anything, st.just(ABSENT)) for name in chosen}
        )
    )


@given(st.sampled_from(TYPES), _some(FIELDS, 4), _some(ATTRIBUTES, 2))
def test_schema_and_decoder_give_the_same_verdict(
    kind: str, fields: dict[str, Any], attributes: dict[str, Any]
) -> None:
    good = event(kind=kind)
    if kind == "order.updated":
        good["data"] = {name: good["data"][name] for name in ("id", "order_group_id", "updated_at", "status")}
    found = _changed({**good, "data": _changed(good["data"], fields)}, attributes)
    taken = decoder_takes(json.dumps(found).encode())
    note(f"{kind} {'taken' if taken else 'refused'}")
    assert schema_takes(found) == taken


@pytest.mark.parametrize("name", FIELDS)
def test_schema_and_decoder_agree_at_the_edges(name: str) -> None:
    edges = [*EDGES_OF_INTEGERS, None] if name != "total" else [0, -1, "0", None]
    for value in [*EDGES_OF_STRINGS, *edges]:
        data: dict[str, Any] = {name: value}
        found = event(**data)
        assert schema_takes(found) == decoder_takes(json.dumps(found).encode()), value
