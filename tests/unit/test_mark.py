"""Marks of a walk: what is encoded is decoded, and everything else is refused with what was expected."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.params.query import InvalidRequest, parse_list
from api.walk import LINKED_BYTES_MAX, link, next_part
from projector.readmodel.query.mark import Mark, decoded, encoded, filters_of, order_of

MARKS = st.builds(
    Mark,
    order=st.sampled_from(("total", "-display_id")),
    filters=st.binary(min_size=8, max_size=8),
    generation=st.binary(min_size=8, max_size=8),
    value=st.none() | st.integers(-(2**80), 2**80),
    ordinal=st.integers(0, 2**32 - 1),
    shard=st.integers(0, 1023),
)


def message(raw: str) -> str:
    with pytest.raises(InvalidRequest) as found:
        parse_list(raw)
    return str(found.value).removeprefix("Invalid request: ")


def mark_of(raw: str) -> str:
    asked = parse_list(raw)
    return encoded(Mark(order_of(asked), filters_of(asked), b"g" * 8, 5, 7, 0))


@given(MARKS)
def test_a_mark_is_read_back(mark: Mark) -> None:
    text = encoded(mark)
    assert decoded(text) == mark
    assert text.replace("-", "").replace("_", "").isalnum()


@given(MARKS, st.data())
def test_a_mark_with_another_character_is_none(mark: Mark, data: st.DataObject) -> None:
    text = encoded(mark)
    at = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.characters(codec="utf-8").filter(lambda one: one != text[at]))
    assert decoded(text[:at] + other + text[at + 1 :]) is None


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_other_texts_are_no_marks(text: str) -> None:
    assert decoded(text) is None


def test_a_walk_goes_on_with_other_limits_and_fields() -> None:
    mark = mark_of("status=a&order=-total&limit=5")
    found = parse_list(f"limit=9&fields=id&order=-total&status=a&after={mark}")
    assert found.walks
    assert found.mark == decoded(mark)
    assert parse_list("after=&order=total").walks
    assert parse_list("after=").mark is None
    assert not parse_list("").walks


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("after=&offset=0", "Expected: one of the fields 'offset' and 'after', but got both"),
        ("after=&limit=0", "Value for field 'limit' too small with 'after', expected at least: '1'"),
        ("after=abc", "Expected: a mark from 'next' for field 'after', but got: 'abc'"),
        ("after[]=a,b", "Expected type: 'string' for field 'after', got: 'a,b'"),
        ("order=total&after={mark}", "Expected: a mark of this order for field 'after', but got: one of '-total'"),
        (
            "order=-total&status=b&after={mark}",
            "Expected: a mark of these filters for field 'after', but got: one of others",
        ),
        (
            "order=-total&status=a&q=x&after={mark}",
            "Expected: a mark of these filters for field 'after', but got: one of others",
        ),
    ],
)
def test_a_mark_of_something_else_is_refused(raw: str, expected: str) -> None:
    assert message(raw.format(mark=mark_of("status=a&order=-total"))) == expected


def test_a_forged_mark_without_a_value_is_refused_where_each_group_has_one() -> None:
    asked = parse_list("order=total")
    forged = encoded(Mark("total", filters_of(asked), b"g" * 8, None, 7, 0))
    assert message(f"order=total&after={forged}").startswith("Expected: a mark from 'next'")


def test_next_is_part_of_the_body() -> None:
    mark = decoded(mark_of(""))
    assert mark is not None
    assert msgspec.json.decode(b'{"limit":1' + next_part(mark) + b"}") == {"limit": 1, "next": encoded(mark)}
    assert next_part(None) == b',"next":null'


def test_the_link_has_the_parameters_of_the_request() -> None:
    mark = decoded(mark_of(""))
    assert mark is not None
    linked = link(mark, b"/admin/order-groups", b"limit=5&%61fter=old&status=a%20b&after")
    assert linked == {"Link": f'</admin/order-groups?limit=5&status=a%20b&after={encoded(mark)}>; rel="next"'}
    assert link(mark, b"/", b"q=a>b") == {"Link": f'</?q=a%3Eb&after={encoded(mark)}>; rel="next"'}
    assert link(None, b"/admin/order-groups", b"after=") == {}
    assert link(mark, b"/", b"q=" + b"x" * LINKED_BYTES_MAX) == {}
