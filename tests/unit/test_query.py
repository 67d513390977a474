"""The query contract: valid values of every parameter, and the exact messages for invalid ones."""

import random
import time
from contextlib import suppress
from urllib.parse import quote

import pytest

from api.params.operators import Edges, date_ms, number_edges
from api.params.query import InvalidRequest, parse_list, parse_one
from projector.readmodel.query.fields import Fields
from projector.readmodel.query.intervals import LOWEST, Bounds
from projector.readmodel.query.query import Query
from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS, RELATIONS

DAY_MS = 86_400_000
JUNE_MS = 1780272000000  # 2026-06-01T00:00:00Z


def message(raw: str) -> str:
    with pytest.raises(InvalidRequest) as found:
        parse_list(raw)
    return str(found.value)


def only_range(raw: str) -> Bounds:
    ((_, bounds),) = parse_list(raw).ranges
    return bounds


def test_defaults() -> None:
    assert parse_list("") == Query(50, 0, "created_at", True, b"", None, (), (), Fields(DEFAULT_FIELDS))


@pytest.mark.parametrize(
    "raw",
    ["id=a&id=b", "id[]=a&id[]=b", "id[0]=a&id[1]=b", "id%5B%5D=a&id%5b1%5d=b", "id[]=a,b", "id[7]=a,b", "id=b&id[]=a"],
)
def test_the_forms_of_a_list(raw: str) -> None:
    assert parse_list(raw).ids == ("a", "b")


def test_commas_are_literal_outside_a_single_element() -> None:
    assert parse_list("id=a,b").ids == ("a,b",)
    assert parse_list("id[]=a,b&id[]=c").ids == ("a,b", "c")


def test_lists_are_not_capped_at_twenty() -> None:
    for form in ("id[]", "id", "id[{n}]"):
        raw = "&".join(f"{form.format(n=n)}=x{n:04}" for n in range(1000))
        assert parse_list(raw).ids == tuple(f"x{n:04}" for n in range(1000))


@pytest.mark.parametrize("form", ["id[]", "id", "id[{n}]"])
def test_more_than_a_thousand_values(form: str) -> None:
    raw = "&".join(f"{form.format(n=n)}=x" for n in range(1001))
    assert message(raw) == "Invalid request: Value for field 'id' too big, expected at most: '1000'"


def test_more_than_a_thousand_values_after_commas_and_in_operators() -> None:
    commas = ",".join(["1"] * 1001)
    assert message(f"status[]={commas}").endswith("Value for field 'status' too big, expected at most: '1000'")
    assert message(f"total[$in][]={commas}").endswith("Value for field 'total' too big, expected at most: '1000'")
    assert message("&" * 6000) == "Invalid request: Too many values, expected at most: '5000'"
    names = "&".join(f"n{n}=" for n in range(101))
    assert message(names) == "Invalid request: Too many fields, expected at most: '100'"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20),
        ("10abc", 10),
        ("5.9", 5),
        ("+7", 7),
        (" 7", 7),
        ("\ufeff\xa0\t7", 7),
        ("0x10", 16),
        ("1e3", 1),
        ("0", 0),
        ("-0", 0),
    ],
)
def test_numbers_are_read_like_parse_int(text: str, value: int) -> None:
    assert parse_list(f"limit={quote(text)}&offset={quote(text)}").limit == value
    assert parse_list(f"offset={quote(text)}").offset == value


@pytest.mark.parametrize("text", ["abc", "", "-", "0x", ".5", "NaN", "٣", "\x1c7", "\x857"])
@pytest.mark.parametrize("name", ["limit", "offset"])
def test_invalid_numbers(name: str, text: str) -> None:
    expected = f"Invalid request: Expected type: 'number' for field '{name}', got: '{text}'"
    assert message(f"{name}={quote(text)}") == expected


def test_limits_of_paging() -> None:
    assert parse_list("limit=1000").limit == 1000
    assert parse_list(f"offset={'9' * 300}").offset == int("9" * 300)
    assert message("limit=1001") == "Invalid request: Value for field 'limit' too big, expected at most: '1000'"
    assert message("limit=-1") == "Invalid request: Value for field 'limit' too small, expected at least: '0'"
    assert message("offset=-1") == "Invalid request: Value for field 'offset' too small, expected at least: '0'"
    assert message("limit=1&limit=2") == "Invalid request: Expected type: 'number' for field 'limit', got: '1,2'"
    assert message(f"offset={'9' * 5000}").startswith("Invalid request: Expected type: 'number' for field 'offset'")


def test_order() -> None:
    assert (parse_list("order=created_at").sort, parse_list("order=created_at").descending) == ("created_at", False)
    assert (parse_list("order=-total").sort, parse_list("order=-total").descending) == ("total", True)
    allowed = "created_at, updated_at, total, seller_count, display_id"
    for text in ("customer_id", "", "-", "--id", "id", "-id"):
        assert (
            message(f"order={text}") == f"Invalid request: Expected: '{allowed}' for field 'order', but got: '{text}'"
        )


def test_with_deleted_is_a_boolean_without_effect() -> None:
    assert parse_list("with_deleted=true") == parse_list("with_deleted=false") == parse_list("")
    for text in ("x", "1", "True", ""):
        expected = f"Invalid request: Expected type: 'boolean' for field 'with_deleted', got: '{text}'"
        assert message(f"with_deleted={text}") == expected
    assert message("with_deleted[]=true").endswith("Expected type: 'boolean' for field 'with_deleted', got: 'true'")


def test_unknown_parameters() -> None:
    assert message("foo=1") == "Invalid request: Unrecognized fields: 'foo'"
    assert message("foo=1&bar[x]=2") == "Invalid request: Unrecognized fields: 'foo, bar'"
    assert message("create_at[$gte]=2026-06-01") == "Invalid request: Unrecognized fields: 'create_at'"
    assert message("statu%73e=1&__proto__=1") == "Invalid request: Unrecognized fields: 'statuse, __proto__'"


def test_at_most_three_issues() -> None:
    assert message("limit=abc&q=a&q=b&foo=1") == (
        "Invalid request: Expected type: 'number' for field 'limit', got: 'abc'; "
        "Expected type: 'string' for field 'q', got: 'a,b'; Unrecognized fields: 'foo'"
    )
    assert message("limit=x&offset=y&q[]=a,b&foo=1").count(";") == 2


@pytest.mark.parametrize("name", ["q", "order", "fields"])
def test_lists_for_text_parameters_are_refused(name: str) -> None:
    assert message(f"{name}[]=a,b") == f"Invalid request: Expected type: 'string' for field '{name}', got: 'a,b'"
    expected = f"Invalid request: Expected type: 'string' for field '{name}', got: '[object Object]'"
    assert message(f"{name}[x]=a") == expected


def test_objects_for_value_filters_are_refused() -> None:
    expected = "Invalid request: Expected type: 'string, array' for field 'id', got: '[object Object]'"
    assert message("id[x]=a") == expected
    assert message("id[][x]=a") == expected
    assert message("id[0][0]=a") == "Invalid request: Expected type: 'string, array' for field 'id', got: 'a'"


def test_long_values_are_cut_in_messages() -> None:
    assert len(message("limit=" + "x" * 5000)) < 300
    assert len(message("x" * 5000 + "=1")) < 300


def test_q_is_literal_and_casefolded() -> None:
    assert parse_list("q=STRA%C3%9FE%25*").needle == b"strasse%*"
    assert parse_list("q=").needle == b""


def test_empty_values() -> None:
    raw = "customer_id=&status=&sales_channel_id=&seller_id=&q=&created_at=&updated_at="
    assert parse_list(raw) == parse_list("")
    assert parse_list("id=").ids == ()
    assert parse_list("id[]=&id[]=a").ids == ("a",)
    assert parse_list("status[]=").values == (("status", ()),)


def test_equal_queries_are_equal() -> None:
    assert parse_list("id=b&id=a&id=a&status=x") == parse_list("status[]=x&id[]=a&id[]=b")
    assert hash(parse_list("id=b&id=a")) == hash(parse_list("id[]=a,b"))


# --- operators ---


def test_operators_of_dates() -> None:
    assert only_range("created_at[$gte]=2026-06-01") == (JUNE_MS,)
    assert only_range("created_at.$gte=2026-06-01") == (JUNE_MS,)
    assert only_range("created_at[$gt]=2026-06-01") == (JUNE_MS + 1,)
    assert only_range("created_at[$lt]=2026-06-01") == (LOWEST, JUNE_MS)
    assert only_range("created_at[$lte]=2026-06-01") == (LOWEST, JUNE_MS + 1)
    assert only_range("created_at[$eq]=2026-06-01") == (JUNE_MS, JUNE_MS + 1)
    assert only_range("created_at=2026-06-01") == (JUNE_MS, JUNE_MS + 1)
    assert only_range("created_at[$ne]=2026-06-01") == (LOWEST, JUNE_MS, JUNE_MS + 1)


def test_operators_are_anded() -> None:
    assert only_range("updated_at[$gte]=2026-06-01&updated_at.$lt=2026-06-02") == (JUNE_MS, JUNE_MS + DAY_MS)
    assert only_range("total[$gte]=1&total[$lte]=3&total[$ne]=2") == (1_000_000, 2_000_000, 2_000_001, 3_000_001)
    assert only_range("total[$gt]=3&total[$lt]=3") == ()
    assert only_range("seller_count[$in][]=1,2,4&seller_count[$nin][]=2") == (1, 2, 4, 5)


def test_lists_of_dates_and_numbers() -> None:
    two = (JUNE_MS, JUNE_MS + 1, JUNE_MS + DAY_MS, JUNE_MS + DAY_MS + 1)
    assert only_range("created_at=2026-06-02&created_at=2026-06-01") == two
    assert only_range("created_at.$in[]=2026-06-01,2026-06-02") == two
    assert only_range("seller_count[$in]=2") == (2, 3)
    assert only_range("seller_count[$in][]=2,3,3") == (2, 4)
    assert only_range("display_id[]=") == ()
    assert only_range("total[$nin][]=") == (LOWEST,)


@pytest.mark.parametrize(
    ("raw", "bounds"),
    [
        ("total[$gt]=1.2345678", (1_234_568,)),
        ("total[$gte]=1.2345678", (1_234_568,)),
        ("total[$lt]=1.2345678", (LOWEST, 1_234_568)),
        ("total[$lte]=1.2345678", (LOWEST, 1_234_568)),
        ("total[$gt]=-1.2345678", (-1_234_567,)),
        ("total[$lte]=-1.2345678", (LOWEST, -1_234_567)),
        ("total=1.2345678", ()),
        ("total[$ne]=1.2345678", (LOWEST,)),
        ("total=1.234567", (1_234_567, 1_234_568)),
        ("total=123456789012345678.123456", (123456789012345678123456, 123456789012345678123457)),
        ("seller_count[$gt]=1.5", (2,)),
        ("seller_count=1.5", ()),
        ("display_id[$lte]=7e0", (LOWEST, 8)),
    ],
)
def test_numbers_are_compared_exactly(raw: str, bounds: Bounds) -> None:
    assert only_range(raw) == bounds


@pytest.mark.parametrize("number", ["1e300", "-1e300", "1e-300", "-1e-9999", "123456789012345678901234567890123456"])
def test_numbers_that_no_group_has(number: str) -> None:
    """Whatever they are, the bounds ascend, and those of opposite operators meet."""
    for operator, opposite in (("$gt", "$lte"), ("$gte", "$lt"), ("$eq", "$ne")):
        one, other = (only_range(f"total[{name}]={number}") for name in (operator, opposite))
        assert sorted(set(one)) == list(one)
        assert sorted({LOWEST} ^ set(one)) == list(other)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-06-01", JUNE_MS),
        ("2026-06-01T00:00:00Z", JUNE_MS),
        ("2026-06-01t00:00:00.001z", JUNE_MS + 1),
        ("2026-06-01T00:00:00.0019999Z", JUNE_MS + 1),
        ("2026-06-01T00:00:00.1Z", JUNE_MS + 100),
        ("2026-06-01T02:00:00+02:00", JUNE_MS),
        ("2026-06-01T02:00:00 02:00", JUNE_MS),
        ("2026-05-31T23:30:00-00:30", JUNE_MS),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("0001-01-01T00:00:00+01:00", -62135600400000),
        ("2026-06-01 00:00:00", JUNE_MS),
        ("2026-06-01 02:00:00.5+02:00", JUNE_MS + 500),
        ("2026-06-01 02:00:00 02:00", JUNE_MS),
        ("2026-06-01T00:00:00", JUNE_MS),
        ("2026-02-29", None),
        ("2026-06-01  00:00:00", None),
        ("2026-06-01 00:00", None),
        ("2026-06-01 ", None),
        ("2026-06-01T24:00:00Z", None),
        ("2026-6-1", None),
        ("20260601", None),
        ("2026-W23-1", None),
        ("1780272000000", None),
        ("2026-06-01T00:00:00.Z", None),
        ("2026-06-01T00:00:00+25:00", None),
        ("٢٠٢٦-06-01", None),
        ("", None),
    ],
)
def test_dates(text: str, milliseconds: int | None) -> None:
    assert date_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("7400", (7400, 7401)),
        ("-74.5", (-74, -74)),
        ("1e3", (1000, 1001)),
        (".5", (1, 1)),
        ("5.", (5, 6)),
        ("0.1", (1, 1)),
        ("-0", (0, 1)),
        (f"{'9' * 20}.{'9' * 300}", (10**20, 10**20)),
        *((text, None) for text in ("", "abc", "1e999", "NaN", "inf", "0x10", "1_000", " 1", "1,2", "--1", "9" * 500)),
    ],
)
def test_decimal_numbers(text: str, edges: tuple[int, int] | None) -> None:
    assert number_edges(text, 0) == (None if edges is None else Edges(*edges))


def test_messages_for_operators() -> None:
    operators = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin"
    assert message("created_at[$like]=x") == (
        f"Invalid request: Expected: '{operators}' for field 'created_at', but got: '$like'"
    )
    assert message("created_at=x") == "Invalid request: Expected type: 'date' for field 'created_at', got: 'x'"
    assert (
        message("created_at[$gte]=") == "Invalid request: Expected type: 'date' for field 'created_at, $gte', got: ''"
    )
    assert message("total[$gt]=abc") == "Invalid request: Expected type: 'number' for field 'total, $gt', got: 'abc'"
    assert message("total[$gt][]=1,2") == "Invalid request: Expected type: 'number' for field 'total, $gt', got: '1,2'"
    assert message("display_id[]=1,x") == "Invalid request: Expected type: 'number' for field 'display_id', got: 'x'"
    assert message("created_at[$gte]=2026-06-01&created_at[$gte]=2026-06-02").endswith(
        "for field 'created_at, $gte', got: '2026-06-01,2026-06-02'"
    )
    assert (
        message("total[$eq][$gt]=1")
        == "Invalid request: Expected type: 'number' for field 'total', got: '[object Object]'"
    )


# --- fields ---


@pytest.mark.parametrize(
    ("text", "group", "order"),
    [
        ("", "id", ()),
        (",", "id", ()),
        ("total", "id total", ()),
        ("total,id", "id total", ()),
        ("nothing,total", "id total", ()),
        ("+nothing", " ".join(DEFAULT_FIELDS), ()),
        ("+display_id", " ".join(DEFAULT_FIELDS) + " display_id", ()),
        (" display_id", " ".join(DEFAULT_FIELDS) + " display_id", ()),
        ("-total,-customer_id", "id seller_count created_at updated_at", ()),
        ("-id", " ".join(DEFAULT_FIELDS), ()),
        ("*orders", " ".join(DEFAULT_FIELDS) + " orders", ORDER_FIELDS),
        ("orders.*", " ".join(DEFAULT_FIELDS) + " orders", ORDER_FIELDS),
        ("+orders", " ".join(DEFAULT_FIELDS) + " orders", ORDER_FIELDS),
        ("orders", "id orders", ORDER_FIELDS),
        ("orders.total", "id orders", ("id", "total")),
        ("orders.total,orders.id,orders.nothing", "id orders", ("id", "total")),
        ("orders.nothing", "id orders", ("id",)),
        ("id,*orders.items", "id orders", ("id",)),
        ("*orders.items", " ".join(DEFAULT_FIELDS) + " orders", ("id",)),
        ("orders.items.*", " ".join(DEFAULT_FIELDS) + " orders", ("id",)),
        ("orders.items.title,orders.total,*orders.status", "id orders", ("id", "total")),
        ("+orders.payment_status", " ".join(DEFAULT_FIELDS) + " orders", ("id", "payment_status")),
        ("*orders.seller,-orders", " ".join(DEFAULT_FIELDS), ()),
        ("*order.seller,+ordersx.id", " ".join(DEFAULT_FIELDS), ()),
        ("+orders.total", " ".join(DEFAULT_FIELDS) + " orders", ("id", "total")),
        ("*orders,-orders", " ".join(DEFAULT_FIELDS), ()),
        ("orders.*,-orders", " ".join(DEFAULT_FIELDS), ()),
        ("+orders.total,-orders.total", " ".join(DEFAULT_FIELDS), ()),
        ("cart_id,+total", "id total cart_id", ()),
        ("*total,total.*", " ".join(DEFAULT_FIELDS), ()),
        (",".join(GROUP_FIELDS), " ".join(GROUP_FIELDS), ORDER_FIELDS),
    ],
)
def test_fields(text: str, group: str, order: tuple[str, ...]) -> None:
    assert parse_list("fields=" + quote(text)).fields == Fields(tuple(group.split()), order)


@pytest.mark.parametrize(
    ("text", "order", "relations"),
    [
        ("orders.seller", ("id",), {"seller": ("id", "name")}),
        ("id,*orders.seller", ("id",), {"seller": ("id", "name")}),
        ("*orders.seller", ("id",), {"seller": ("id", "name")}),
        ("orders.seller.*", ("id",), {"seller": ("id", "name")}),
        ("orders.seller.name,orders.total", ("id", "total"), {"seller": ("id", "name")}),
        ("orders.seller.id", ("id",), {"seller": ("id",)}),
        ("orders.seller.nothing", ("id",), {}),
        ("orders.customer.last_name", ("id",), {"customer": ("id", "last_name")}),
        ("+orders.customer.first_name,+orders.customer.id", ("id",), {"customer": ("id", "first_name")}),
        ("*orders,*orders.customer", ORDER_FIELDS, {"customer": ("id", "first_name", "last_name")}),
        ("*orders.customer,*orders.seller,-orders.customer", ("id",), {"seller": ("id", "name")}),
        ("*orders.customer,+orders.seller.name", ("id",), {**RELATIONS}),
    ],
)
def test_fields_of_relations_of_orders(
    text: str, order: tuple[str, ...], relations: dict[str, tuple[str, ...]]
) -> None:
    found = parse_list("fields=" + quote(text)).fields
    assert found.group[-1] == "orders"
    assert (found.order, found.relations) == (order, tuple(relations.items()))
    assert [*relations] == [name for name in RELATIONS if name in relations]


def test_currencies_are_filtered_in_lower_case() -> None:
    assert parse_list("currency_code=EUR&currency_code=eur&currency_code=Usd").values == (
        ("currency_code", ("eur", "usd")),
    )
    assert parse_list("payment_status=Captured").values == (("payment_status", ("Captured",)),)
    assert parse_list("currency_code=").values == ()


def test_a_plus_sign_that_was_not_encoded() -> None:
    assert parse_list("fields=+display_id").fields == parse_list("fields=%2Bdisplay_id").fields


def test_fields_of_one_group() -> None:
    assert parse_one("") == Fields((*DEFAULT_FIELDS, "orders"), ORDER_FIELDS)
    assert parse_one("fields=-orders") == Fields(DEFAULT_FIELDS)
    assert parse_one("fields=total") == Fields(("id", "total"))
    with pytest.raises(InvalidRequest) as found:
        parse_one("limit=1&fields[]=a,b")
    assert str(found.value) == (
        "Invalid request: Expected type: 'string' for field 'fields', got: 'a,b'; Unrecognized fields: 'limit'"
    )


# --- anything ---


def test_random_query_strings_are_parsed_quickly() -> None:
    rng = random.Random(11)
    pieces = [
        *"[].&=+,%$0a9é\x00",
        "id",
        "[]",
        "[0]",
        "[99999]",
        "limit",
        "created_at",
        "[$gte]",
        "q",
        "%5B",
        "%FF",
        "&",
    ]
    for _ in range(5000):
        raw = "".join(rng.choice(pieces) for _ in range(rng.randrange(40)))
        for parse in (parse_list, parse_one):
            with suppress(InvalidRequest):
                parse(raw)


@pytest.mark.parametrize(
    "raw",
    ["a" + "[" * 65000, "&" * 65000, "a" + "." * 65000, "[a]" * 20000, "id[]=" + "," * 65000, "total=" + "9" * 65000]
    + [
        "&".join(form.format(n=n) for n in range(4000))
        for form in ("id[{n}][{n}]=", "id.{n}.x=", "id[][x{n}]=", "[{n}]=")
    ]
    + [
        "fields=" + ",".join(f"+a{n},-b" for n in range(6000)),
        "&".join(f"a{n}" + "[4999]" * 5 + "[x]=" for n in range(99)),
        "&".join(f"id[4999][{n}][4999][{4999 - n}][x]=" for n in range(99)),
    ],
    ids=range(13),
)
def test_the_longest_query_strings_take_milliseconds(raw: str) -> None:
    """The minimum of several runs: a busy machine only adds to it."""
    took = []
    for _ in range(3):
        start = time.process_time()
        with suppress(InvalidRequest):
            parse_list(raw)
        took.append(time.process_time() - start)
    assert min(took) < 0.05
