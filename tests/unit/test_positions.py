"""Positions in headers, and entity tags."""

import random

import pytest

from api.freshness.conditions import Conditions, parse_conditions
from api.freshness.positions import PARTITIONS_MAX, parse_min_position
from api.params.query import InvalidRequest
from projector.readmodel.query.positions import Snapshot, highest, missing, snapshot, written


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([b""], {}),
        ([b"orders/0@81235"], {"orders/0": 81235}),
        ([b"orders/0@81235,orders/1@7"], {"orders/0": 81235, "orders/1": 7}),
        ([b" orders/0@1 ,\t, orders/1@2\t"], {"orders/0": 1, "orders/1": 2}),
        ([b"orders/0@1", b"orders/1@2"], {"orders/0": 1, "orders/1": 2}),
        ([b"orders/0@5,orders/0@9,orders/0@7"], {"orders/0": 9}),
        ([b"orders/0@5", b"orders/00@6"], {"orders/0": 6}),
        ([b"a.b_c-D/12@0"], {"a.b_c-D/12": 0}),
        ([b"my%20orders%2C2/0@3"], {"my orders,2/0": 3}),
        (["bücher/0@3".encode()], {"bücher/0": 3}),
        ([b"a%2Fb%40c/0@3"], {"a/b@c/0": 3}),
        ([b"orders/0@9999999999999999999"], {"orders/0": 9999999999999999999}),
    ],
)
def test_a_header_is_parsed(values: list[bytes], expected: dict[str, int]) -> None:
    assert parse_min_position(values) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("x", "orders", "orders/0", "orders@3", "/0@3", "orders/@3", "orders/0@", "orders/0@-1", "orders/0@1.5"),
        *("orders/x@1", "orders/0@0x1", "orders/0 @1", "orders/0@1;orders/1@2", "orders/0@1 orders/1@2", "orders/0@١"),
        *(f"orders/0@{10**19}", "orders/-1@3", "*", "a/b/0@3", "orders/0@@3"),
    ],
)
def test_a_malformed_header_is_refused(text: str) -> None:
    for values in ([text.encode()], [b"orders/0@1", text.encode()], [b"orders/0@1," + text.encode()]):
        with pytest.raises(InvalidRequest) as found:
            parse_min_position(values)
        assert str(found.value) == (
            f"Invalid request: Expected form: 'orders/0@81235,orders/1@7' for header 'X-Min-Position', got: '{text}'"
        )


def test_no_more_partitions_than_allowed() -> None:
    most = ",".join(f"orders/{n}@1" for n in range(PARTITIONS_MAX)).encode()
    assert len(parse_min_position([most, most])) == PARTITIONS_MAX
    with pytest.raises(InvalidRequest, match="'X-Min-Position', expected at most: '1000'"):
        parse_min_position([most, b"orders/1000@1"])


def test_sorted_by_topic_and_number() -> None:
    assert written({"b/0": 1, "a/10": 2, "a/9": 3}) == "a/9@3,a/10@2,b/0@1"
    assert written({}) == ""
    assert written({"a, ü/0": 1}) == "a%2C%20%C3%BC/0@1"


def test_the_header_of_an_answer_is_valid_in_a_request() -> None:
    rng = random.Random(5)
    for _ in range(200):
        topics = ("orders", "my orders,2", "a/b", "bücher%20", "日@1")
        positions = {
            f"{rng.choice(topics)}/{rng.randrange(30)}": rng.randrange(2**53) for _ in range(rng.randrange(20))
        }
        text = written(positions)
        assert text.isascii()
        assert parse_min_position([text.encode()]) == positions


def test_a_redrive_changes_the_content_at_the_same_positions() -> None:
    before = [[b"orders/0", b"7"], [b"orders/0", b"7"]]
    contents = [snapshot(b"{}", before).content]
    for replies in ([[*before[0], b"redriven", b"1"], before[1]], [before[0], [b"redriven", b"1", *before[1]]]):
        found = snapshot(b"{}", replies)
        assert (found.positions, found.text) == ({"orders/0": 7}, "orders/0@7")
        contents.append(found.content)
    contents.append(snapshot(b"{}", [[*before[0], b"redriven", b"2"], before[1]]).content)
    assert len(set(contents)) == 4


def test_the_reply_of_redis() -> None:
    positions, text = {"orders/1": 7, "orders/0": 81234}, "orders/0@81234,orders/1@7"
    found = snapshot(b"{}", [[b"orders/1", b"7", b"orders/0", b"81234"]])
    assert found == Snapshot(b"{}\n" + text.encode(), positions, text, (positions,))


def test_the_slowest_shard_counts() -> None:
    ahead, behind = [b"orders/0", b"9", b"orders/1", b"7"], [b"orders/1", b"8", b"orders/0", b"5", b"orders/2", b"1"]
    found = snapshot(b"{}", [ahead, behind])
    assert (found.positions, found.text) == ({"orders/0": 5, "orders/1": 7}, "orders/0@5,orders/1@7")
    assert found.shards == ({"orders/0": 9, "orders/1": 7}, {"orders/1": 8, "orders/0": 5, "orders/2": 1})
    assert snapshot(b"{}", [ahead, []]).text == ""
    assert highest(found.shards) == {"orders/0": 9, "orders/1": 8, "orders/2": 1}
    assert highest([]) == {}


def test_the_content_depends_on_every_shard() -> None:
    slow, fast = [b"orders/0", b"5"], [b"orders/0", b"6"]
    contents = [snapshot(b"{}", replies).content for replies in ([slow], [slow, slow], [slow, fast], [fast, slow])]
    assert len(set(contents)) == 4


@pytest.mark.parametrize(
    ("positions", "minimum", "left"),
    [
        ({"a/0": 5}, {"a/0": 5}, {}),
        ({"a/0": 5}, {"a/0": 6}, {"a/0": 6}),
        ({"a/0": 6}, {"a/0": 5, "a/1": 1}, {"a/1": 1}),
        ({}, {"a/0": 1}, {"a/0": 1}),
        ({}, {"a/0": 0}, {}),
        ({"a/0": 6}, {}, {}),
    ],
)
def test_what_is_missing(positions: dict[str, int], minimum: dict[str, int], left: dict[str, int]) -> None:
    assert missing(positions, minimum) == left


# --- validators ---

NOW = snapshot(b'{"number":0}', [[b"orders/0", b"3"]])


def asked(target: bytes = b"/list?limit=1", *if_none_match: bytes) -> Conditions:
    return parse_conditions(target, [(b"accept", b"*"), *((b"if-none-match", value) for value in if_none_match)])


def tag(target: bytes = b"/list?limit=1", now: Snapshot = NOW) -> str:
    return asked(target).headers(now)["ETag"]


def test_a_tag_is_strong_short_and_of_all_that_matters() -> None:
    different = [
        tag(),
        tag(b"/list?limit=2"),
        tag(b"/list/x?limit=1"),
        tag(now=snapshot(b'{"number":1}', [[b"orders/0", b"3"]])),
        tag(now=snapshot(b'{"number":0}', [[b"orders/0", b"4"]])),
        tag(now=snapshot(b'{"number":0}', [[b"orders/1", b"3"]])),
        tag(now=snapshot(b'{"number":0}', [[]])),
    ]
    assert len(set(different)) == len(different)
    for one in different:
        assert one[0] == one[-1] == '"'
        assert one[1:-1].isalnum()
        assert len(one) <= 32
    assert tag() == tag(now=snapshot(b'{"number":0}', [[b"orders/0", b"3"]]))


def test_a_tag_matches_if_none_match() -> None:
    mine = tag().encode()
    for known in ([mine], [b"W/" + mine], [b'"x", ' + mine + b',W/"y,z"'], [b'"x"', mine], [b"*"], [b'"x"', b" * "]):
        assert asked(b"/list?limit=1", *known).match(NOW), known
    for known in ([], [b""], [b'"x"'], [mine.strip(b'"')], [b'"' + mine[1:-2] + b'"'], [b"W/*"], [b'"*"'], [b"\xff"]):
        assert not asked(b"/list?limit=1", *known).match(NOW), known
    assert asked(b"/x", b"*").is_wildcard
    assert not asked(b"/x", mine).is_wildcard


def test_headers_of_an_answer() -> None:
    assert asked().headers(NOW) == {
        "ETag": tag(),
        "X-Projection-Position": "orders/0@3",
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
    }
