"""The script that answers a query, its call, and the plan that an answer took."""

from typing import Any

import msgspec
import pytest

from api.params.query import parse_list
from projector.readmodel.client.batches import Command
from projector.readmodel.query.calls import NOT_SEARCHED, Call, Prepared, Window, call
from projector.readmodel.query.explain import plan_taken
from projector.readmodel.query.intervals import ALL, LOWEST
from projector.readmodel.query.lua.scripts import COMBINE, RANK
from projector.readmodel.query.mirror.shard import Found
from projector.readmodel.query.plan import Combine, Nothing, PlanTaken, Rank, cost, costliest, plan, selection_cost
from projector.readmodel.schema.keys import Keys

KEYS = Keys("og:{7.0}:")
JUNE_MS = 1780272000000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", Rank("by:created_at", (LOWEST,))),
        ("order=created_at&limit=3&offset=9&fields=*orders", Rank("by:created_at", (LOWEST,))),
        ("created_at[$gte]=2026-06-01", Rank("by:created_at", (JUNE_MS,))),
        ("status=pending", Rank("of:status:pending", (LOWEST,))),
        ("seller_id=a&created_at[$lte]=2026-06-01", Rank("of:seller_id:a", (LOWEST, JUNE_MS + 1))),
        ("order=total", Combine()),
        ("order=-display_id", Combine()),
        ("order=total&total[$lt]=3", Combine()),
        ("created_at[$ne]=2026-06-01", Combine()),
        ("status=pending&order=updated_at", Combine()),
        ("status=pending&status=completed", Combine()),
        ("status=pending&seller_id=a", Combine()),
        ("status=pending&updated_at[$gte]=2026-06-01", Combine()),
        ("created_at[$gte]=2026-06-01&total=3", Combine()),
        ("id=a", Combine()),
        ("q=a", Combine()),
        ("id=", Nothing()),
        ("status[]=&q=a", Nothing()),
        ("total[$gt]=3&total[$lt]=3&id=a", Nothing()),
    ],
)
def test_plans(raw: str, expected: object) -> None:
    assert plan(parse_list(raw)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", 1),
        ("id=", 1),
        ("limit=100&status=pending", 1),
        ("limit=1000", 6),
        ("fields=*orders", 3),
        ("status=pending&order=total", 4),
        ("status=pending&order=total&limit=1000", 9),
        ("fields=*orders&limit=1000", 16),
        ("q=a", 16),
        ("&".join(f"seller_id=s{n}" for n in range(20)), 4),
        ("&".join(f"seller_id=s{n}" for n in range(21)), 16),
        ("&".join(f"total[$in]={n}" for n in range(30)), 16),
        ("limit=0&facets=status", 8),
        ("limit=0&sums=total", 8),
        ("limit=0&facets=status,seller_id&sums=total", 16),
    ],
)
def test_costs(raw: str, expected: int) -> None:
    assert cost(parse_list(raw)) == expected


@pytest.mark.parametrize(("raw", "expected"), [("", 4), ("limit=1000&fields=*orders&status=a", 4), ("q=a", 16)])
def test_choosing_the_groups_of_an_export_costs_what_masks_do(raw: str, expected: int) -> None:
    assert selection_cost(parse_list(raw)) == expected


def asks(raw: str, *, has_records: bool = False, explains: bool = False) -> Call:
    chosen = plan(parse_list(raw))
    assert not isinstance(chosen, Nothing)
    return call(chosen, parse_list(raw), has_records=has_records, explains=explains)


def arguments_of(command: Command) -> tuple[list[str], list[str | bytes]]:
    """The keys without the prefix, and the arguments."""
    assert command[0] == "EVALSHA"
    number = int(command[2])
    return [str(key).removeprefix("og:{7.0}:") for key in command[3 : 3 + number]], list(command[3 + number :])


def query_of(command: Command) -> dict[str, Any]:
    encoded = arguments_of(command)[1][0]
    assert isinstance(encoded, bytes)
    found: dict[str, Any] = msgspec.msgpack.decode(encoded)
    return found


def test_the_call_of_a_rank() -> None:
    command = asks("seller_id=a:b&created_at[$gte]=2026-06-01").command(KEYS, Window(4, 7, 1), 1, NOT_SEARCHED, None)
    assert command[1] == RANK.digest
    keys, (_, *numbers) = arguments_of(command)
    assert keys == ["row", "record", "position", "absent"]
    wanted = {"index": "of:seller_id:a:b", "lo": str(JUNE_MS), "hi": "+inf", "descending": True}
    assert query_of(command) == wanted
    assert numbers == ["4", "7", "1", "0", "0"]


def test_the_calls_of_shards_differ_in_keys_only() -> None:
    for raw in ("status=a", "q=x&status=a&status=b&order=-display_id&total=3"):
        one, two = (asks(raw).command(Keys(f"og:{{7.{n}}}:"), Window(5, 90, 2), 2, NOT_SEARCHED, None) for n in (0, 1))
        assert [text.replace("{7.1}", "{7.0}") if isinstance(text, str) else text for text in two] == list(one)


def test_the_call_that_combines() -> None:
    raw = "order=-display_id&id=x&status=b&status=a&total[$ne]=0.1&total[$lt]=9&created_at[$lt]=1970-01-02&q=Z"
    prepared = Prepared([2, 1], b"\x80", 9, b"ab")
    asked = asks(raw, has_records=True, explains=True)
    command = asked.command(KEYS, Window(0, 50, 1), 4, Found(b"\x01", 3, b"cd"), prepared)
    assert command[1] == COMBINE.digest
    _, (_, *numbers) = arguments_of(command)
    assert numbers[:5] == ["0", "50", "1", str(1024 * 1024), "1"]
    assert numbers[5:] == [b"z", b"\x01", "3", b"cd", b"\x92\x02\x01", b"\x80", "9", b"ab", "0", "-1", b"", "4"]
    found = query_of(command)
    assert found["sort"] == {"field": "display_id", "slices": 54, "descending": True}
    assert found["values"] == [["of:status:a", "of:status:b"]]
    assert found["ids"] == ["x"]
    created, total = found["ranges"]
    assert (created["field"], created["scores"]) == ("created_at", [["-inf", str(86_400_000 - 1)]])
    assert created["bounds"] == [[-(2**48), 0], [86_400_000, 0]]
    assert created["pieces"] == [">", ">" + f"{86_400_000 + 2**48:049b}"[::-1]]
    assert "scores" not in total
    assert total["bounds"] == [[-(2**40), 0], [0, 100_000], [0, 100_001], [0, 9_000_000]]
    assert total["pieces"] == [
        ">",
        "=" + f"{100_000 + 2**80:081b}"[::-1],
        ">" + f"{9_000_000 + 2**80:081b}"[::-1],
    ]


@pytest.mark.parametrize(("value", "pieces"), [("1e30", []), ("-1e30", [">"])])
def test_bounds_beyond_every_column_are_cut(value: str, pieces: list[str]) -> None:
    for field, half in (("total", 2**80), ("display_id", 2**53), ("seller_count", 2**10)):
        asked = asks(f"{field}[$gte]={value}&order=total")
        (found,) = query_of(asked.command(KEYS, Window(0, 0, 1), 1, NOT_SEARCHED, None))["ranges"]
        ((high, low),) = found["bounds"]
        assert abs((high << 40) + low if field == "total" else high) == half
        # All groups, or none.
        assert found["pieces"] == pieces


def test_a_ladder_has_no_records() -> None:
    command = asks("fields=orders", has_records=True).command(KEYS, Window(0, 90, 3), 2, NOT_SEARCHED, None)
    assert arguments_of(command)[1][1:] == ["0", "90", "3", "0", "0"]


# What the scripts reply: positions, a count or a code in its place, and the plan.
LOOKED_UP: list[object] = [[], 3, [], [], [], [], b"look-up", []]
MASKED: list[object] = [[], 3, [], [], [], [], b"masks", []]
STALE: list[object] = [[], b"STALE"]
PREPARE: list[object] = [[], b"PREPARE", [1]]
BEHIND: list[object] = [[], b"BEHIND", [1]]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([[[], 3, [], [], [], [], b"rank", []]], "rank"),
        ([LOOKED_UP], "look-up"),
        ([MASKED], "masks"),
        ([LOOKED_UP, MASKED, LOOKED_UP], "masks"),
        ([MASKED, STALE], "prepared"),
        ([PREPARE, LOOKED_UP], "prepared"),
        ([BEHIND], "prepared"),
    ],
)
def test_the_most_expensive_plan_of_the_shards_is_reported(replies: list[list[object]], expected: str) -> None:
    assert plan_taken(replies) == expected


def test_the_most_expensive_plan_of_the_rounds_is_reported() -> None:
    cheapest_first = [PlanTaken(name) for name in ("nothing", "rank", "look-up", "masks", "prepared")]
    for number, one in enumerate(cheapest_first):
        for other in cheapest_first[: number + 1]:
            assert costliest([one, other]) == costliest([other, one]) == one


def test_the_call_that_counts() -> None:
    asked = asks("status=a&seller_id=b&facets=status:all,seller_id,currency_code:all&facet_limit=7&sums=total")
    command = asked.command(KEYS, Window(0, 50, 1), 4, NOT_SEARCHED, None, most=14)
    assert arguments_of(command)[1][-4:] == ["14", "-1", b"", "4"]
    found = query_of(command)
    assert found["facets"] == [
        # The filters by value are numbered in the order of their fields.
        {"field": "status", "own": 2},
        # Filtered by seller, so some sellers are preferred.
        {"field": "seller_id", "most": 7, "prefers": True},
        # Without a filter there is none to leave out.
        {"field": "currency_code"},
    ]
    assert found["sums"] is True
    assert "edges" not in found


def test_a_list_by_rank_stays_one_beside_what_is_counted() -> None:
    assert plan(parse_list("status=a&sums=total")) == Combine(Rank("of:status:a", ALL))
    assert plan(parse_list("status=a&order=total&sums=total")) == Combine()
    assert plan(parse_list("status=a")) == Rank("of:status:a", ALL)
    # What matches nothing is counted only if a facet leaves a filter out.
    assert plan(parse_list("status[]=&facets=status,seller_id&sums=total")) == Nothing()
    assert plan(parse_list("status[]=&facets=status:all")) == Combine()
