"""The script that answers a query, its call, and the plan that an answer took."""

from math import inf, nextafter
from typing import Any

import msgspec
import pytest

from api.params.query import parse_list
from projector.readmodel.client.batches import Command
from projector.readmodel.query.calls import HEADS, NO_PARTS, Window, call, gathering, page, select_arguments
from projector.readmodel.query.explain import plan_taken
from projector.readmodel.query.intervals import Interval
from projector.readmodel.query.lua.scripts import GATHER, SCAN, SELECT
from projector.readmodel.query.plan import Nothing, PlanTaken, Scan, Select, costlier, plan
from projector.readmodel.query.prepare.gather import Gathered
from projector.readmodel.query.prepare.search import Found
from projector.readmodel.query.prepare.sides import bounds, first_keys
from projector.readmodel.query.query import Query
from projector.readmodel.schema.keys import Keys

KEYS = Keys("og:{7.0}:")
JUNE_MS = 1780272000000


def query(raw: str) -> Query:
    parsed = parse_list(raw)
    assert isinstance(parsed, Query), parsed
    return parsed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", Scan("created_at", None, None, False)),
        ("order=total&limit=3&offset=9&fields=*orders", Scan("total", None, None, False)),
        ("order=display_id", Scan("display_id", None, None, False)),
        ("order=-display_id", Scan("display_id", None, None, True)),
        ("order=-display_id&display_id[$gt]=3", Scan("display_id", None, Interval(3, True, inf, True), False)),
        ("created_at[$gte]=2026-06-01", Scan("created_at", None, Interval(JUNE_MS, False, inf, True), False)),
        ("status=pending", Scan(None, ("status", "pending"), None, False)),
        (
            "seller_id=a&created_at[$lte]=2026-06-01",
            Scan(None, ("seller_id", "a"), Interval(-inf, False, JUNE_MS, False), False),
        ),
        ("order=total&total[$lt]=3", Scan("total", None, Interval(-inf, False, 3, True), False)),
        ("order=total&created_at[$gte]=2026-06-01", Select()),
        ("created_at[$ne]=2026-06-01", Select()),
        ("status=pending&order=id", Select()),
        ("status=pending&status=completed", Select()),
        ("status=pending&seller_id=a", Select()),
        ("status=pending&updated_at[$gte]=2026-06-01", Select()),
        ("created_at[$gte]=2026-06-01&total=3", Select()),
        ("id=a", Select()),
        ("q=a", Select()),
        ("id=", Nothing()),
        ("status[]=&q=a", Nothing()),
        ("total[$gt]=3&total[$lt]=3&id=a", Nothing()),
    ],
)
def test_plans(raw: str, expected: object) -> None:
    assert plan(query(raw)) == expected


def test_the_call_of_a_scan() -> None:
    asked = query("seller_id=a:b&created_at[$gte]=2026-06-01&limit=3&offset=4&fields=id")
    scan = plan(asked)
    assert isinstance(scan, Scan)
    command = call(scan, asked).command(KEYS, page(asked, HEADS))
    assert command[:2] == ("EVALSHA", SCAN.digest)
    keys = ("og:{7.0}:row", "og:{7.0}:rest", "og:{7.0}:of:seller_id:a:b", "og:{7.0}:position", "og:{7.0}:absent")
    assert command[2:8] == ("5", *keys)
    assert command[8:] == ("1", "0", "4", "7", "0", "1", str(JUNE_MS), "(+inf")


def test_the_calls_of_shards_differ_in_keys_only() -> None:
    for raw in ("order=-display_id", "q=x&status=a&status=b&order=-display_id&total=3"):
        asked = query(raw)
        chosen = plan(asked)
        assert not isinstance(chosen, Nothing)
        one, two = (call(chosen, asked).command(Keys(f"og:{{7.{n}}}:"), Window(5, 90, 2, NO_PARTS)) for n in (0, 1))
        assert [text.replace("{7.1}", "{7.0}") if isinstance(text, str) else text for text in two] == list(one)
        assert ("1", "1", "5", "90", "2", "0") in (one[-8:-2], one[-10:-4])


def test_the_call_of_a_select() -> None:
    asked = query("order=-display_id&id=x&status=b&status=a&total[$ne]=0.1&display_id[$gte]=3")
    chosen = plan(asked)
    assert isinstance(chosen, Select)
    command = call(chosen, asked).command(KEYS, page(asked, HEADS))
    assert command[1] == SELECT.digest
    number = int(command[2])
    keys, blob = [str(key) for key in command[3 : 3 + number]], command[-4]
    assert command[3 + number : -4] == ("1", "1", "0", "50", "0", "1")
    assert command[-3:] == (b"", "-1", "0")
    assert isinstance(blob, bytes)
    arguments = msgspec.msgpack.decode(blob)
    assert all(key.startswith("og:{7.0}:") for key in keys)
    assert keys[-2:] == ["og:{7.0}:position", "og:{7.0}:absent"]

    def name(number: int) -> str:
        return keys[number - 1].removeprefix("og:{7.0}:")

    assert [name(n) for n in (1, 2, 3, 4, 5)] == ["row", "rest", "text", "by:id", "by:display_id"]
    assert [[name(n) for n in numbers] for numbers in arguments["values"]] == [["of:status:a", "of:status:b"]]
    assert [(name(r["key"]), r["sorted"], r["bounds"]) for r in arguments["ranges"]] == [
        ("by:total", False, [["-inf", "(0.1"], ["(0.1", "(+inf"]]),
        ("by:display_id", True, [["3.0", "(+inf"]]),
    ]
    assert [(r["left_out"], r["pieces"]) for r in arguments["ranges"]] == [
        (True, [["0.1", "0.1"]]),
        (False, [["3.0", "(+inf"]]),
    ]
    assert [arguments[flag] for flag in ("by_id", "by_created")] == [True, False]
    assert (arguments["ids"], arguments["needle"]) == (["x"], "")


def test_prepared_masks_follow_the_arguments() -> None:
    asked = query("q=x&status=b&status=a")
    chosen = plan(asked)
    assert isinstance(chosen, Select)
    asks = call(chosen, asked)
    bare = asks.command(KEYS, page(asked, HEADS))
    found, gathered = Found(b"\x01", 3, 9), Gathered(b"\x92\x01\x04", b"\x80", (b"17", b"og_1", b"5:"))
    prepared = asks.command(KEYS, page(asked, HEADS), found, gathered)
    assert prepared[:-8] == bare[:-3]
    assert prepared[-8:] == (b"\x01", "3", "9", b"17", b"og_1", b"5:", b"\x92\x01\x04", b"\x80")


def test_the_calls_that_gather() -> None:
    """Each is told of some pieces, in the numbers of select.lua: ranges, values, ids."""
    wanted = [f"sel_{n}" for n in range(150)]
    raw = "&".join(["total[$ne]=2", *(f"seller_id={value}" for value in wanted), "status=a", "id=x", "id=y"])
    total, sellers, status, ids = gathering(query(raw))
    assert (total.pieces, sellers.pieces, status.pieces, ids.pieces) == (2, 150, 1, 1)
    assert [one.left_out for one in (total, sellers, status, ids)] == [True, False, False, False]
    first = [*first_keys(KEYS, "id")]

    def told(command: Command) -> tuple[list[str], Any]:
        assert command[:2] == ("EVALSHA", GATHER.digest)
        keys = [str(key) for key in command[3 : 3 + int(command[2])]]
        assert command[3 + len(keys) : -1] == ("0",) * 6
        assert keys[:5] == first
        assert keys[-2:] == [KEYS.position, KEYS.absent]
        assert isinstance(command[-1], bytes)
        return keys[5:-2], msgspec.msgpack.decode(command[-1])

    keys, arguments = told(total.gather(KEYS, 0))
    assert keys == [KEYS.by("total")]
    assert [one["pieces"] for one in arguments["ranges"]] == [[["2.0", "2.0"]]]
    _, of_the_last = told(total.gather(KEYS, 1))
    assert [one["pieces"] for one in of_the_last["ranges"]] == [[["-inf", "(+inf"]]]
    assert (arguments["values"], arguments["by_id"]) == ([], False)
    found = []
    for start, stop in ((0, 100), (100, 150), (149, 150)):
        keys, arguments = told(sellers.gather(KEYS, start))
        assert [[keys[n - 6] for n in numbers] for numbers in arguments["values"]] == [keys]
        assert keys == [KEYS.of("seller_id", value) for value in sorted(wanted)[start:stop]]
        found.append(arguments["ranges"])
    assert found == [[]] * 3
    keys, arguments = told(ids.gather(KEYS, 0))
    assert (keys, sorted(arguments["ids"]), arguments["by_id"], arguments["values"]) == ([], ["x", "y"], True, [])


# What the scripts reply: positions, a count or a code in its place, documents, and the steps that select.lua took.
LOOKED_UP = [[], 3, [b"{}"] * 3, [[b"list", b"of:status:a", 9], [b"probe", b"of:status:b", 3]]]
MASKED = [[], 3, [b"{}"] * 3, [[b"bitmap", b"bits:of:status:a", 9], [b"and", b"bits:all", 3]]]
NOT_SEARCHED, NOT_PREPARED, NOT_UP_TO_DATE = [[], -1], [[], -2, 1], [[], -3, b"", b"", b"", b"", b""]


@pytest.mark.parametrize(
    ("raw", "replies", "expected"),
    [
        ("", [[[], 3, [b"{}"] * 3]], "rank"),
        ("id=a", [LOOKED_UP], "look-up"),
        ("id=a", [MASKED], "masks"),
        ("id=a", [LOOKED_UP, MASKED, LOOKED_UP], "masks"),
        ("q=a", [MASKED, NOT_SEARCHED], "prepared"),
        ("id=a", [NOT_PREPARED, LOOKED_UP], "prepared"),
        ("id=a", [NOT_UP_TO_DATE], "prepared"),
    ],
)
def test_the_most_expensive_plan_of_the_shards_is_reported(
    raw: str, replies: list[list[object]], expected: str
) -> None:
    assert plan_taken(call(plan(query(raw)), query(raw)), replies) == expected  # type: ignore[arg-type]


def test_the_most_expensive_plan_of_the_rounds_is_reported() -> None:
    cheapest_first = ["nothing", "rank", "look-up", "masks", "prepared"]
    for number, name in enumerate(cheapest_first):
        for other in cheapest_first[: number + 1]:
            assert costlier(PlanTaken(name), PlanTaken(other)) == costlier(PlanTaken(other), PlanTaken(name)) == name


@pytest.mark.parametrize(
    ("raw", "pieces", "is_left_out"),
    [
        ("total[$in][]=1&total[$in][]=2", [["1.0", "1.0"], ["2.0", "2.0"]], False),
        ("total[$nin][]=1&total[$nin][]=2", [["1.0", "1.0"], ["2.0", "2.0"]], True),
        ("total[$gt]=1&total[$nin][]=2", [["2.0", "2.0"]], True),
        ("total[$gt]=1&total[$lte]=2", [["(1.0", "2.0"]], False),
        ("updated_at[$ne]=2026-06-01T00:00:00.001Z", [[f"({JUNE_MS}", f"({JUNE_MS + 2}"]], True),
    ],
)
def test_pieces_of_a_range(raw: str, pieces: list[list[str]], is_left_out: bool) -> None:
    asked = query(f"{raw}&order=id")
    ((_, intervals),) = asked.ranges
    arguments = msgspec.msgpack.decode(select_arguments(asked))
    (found,) = arguments["ranges"]
    assert (found["pieces"], found["left_out"]) == (pieces, is_left_out)
    assert found["bounds"] == [[*bounds(interval)] for interval in intervals]


@pytest.mark.parametrize("value", [0.1, 1e300, nextafter(2, 3), -74.5, 5e-324, 123456789012.123456])
def test_bounds_read_back_as_the_same_number(value: float) -> None:
    lo, hi = bounds(Interval(value, False, value, True))
    assert float(lo) == value
    assert hi[0] == "("
    assert float(hi[1:]) == value
