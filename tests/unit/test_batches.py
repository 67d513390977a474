"""Splits a batch with large groups into several commits."""

from hypothesis import given
from hypothesis import strategies as st

from events.contract.order import OrderEvent
from events.logs.log import Partition, Record
from projector.batches import COMMIT_RECORD_BYTES_MAX, commits
from projector.project import Decoded

THIRD = COMMIT_RECORD_BYTES_MAX // 3


def batch(names: str) -> list[Decoded]:
    """Returns a record per letter, of the group with that name; a blank has no group."""
    return [
        Decoded(
            Record(Partition("orders", 0), offset, 0, None, None),
            None if name == " " else OrderEvent(name, "order_1", (1, 0, 0), ()),
            None,
        )
        for offset, name in enumerate(names)
    ]


def cut(names: str, sizes: dict[str, int]) -> list[str]:
    parts = list(commits(batch(names), lambda group_id: sizes[group_id]))
    assert [item for part in parts for item in part] == batch(names), "every record, in its order"
    return ["".join(item.event.group_id if item.event else " " for item in part) for part in parts]


def test_a_group_counts_once_per_part() -> None:
    sizes = dict.fromkeys("abc", THIRD)
    assert cut("abcabcabccba", sizes) == ["abcabcabccba"]


def test_a_part_ends_before_the_group_that_exceeds_the_limit() -> None:
    sizes = dict.fromkeys("abcdefg", THIRD)
    assert cut("aab cddefga", sizes) == ["aab c", "ddef", "ga"]


def test_a_group_above_the_limit_is_a_part_alone() -> None:
    assert cut("abbac", {"a": 1, "b": COMMIT_RECORD_BYTES_MAX + 1, "c": 0}) == ["a", "bb", "a" + "c"]


def test_new_groups_count_nothing() -> None:
    assert cut("abcdef" * 10, dict.fromkeys("abcdef", 0)) == ["abcdef" * 10]


@given(st.text("abcdefgh ", min_size=1), st.lists(st.integers(0, THIRD * 4), min_size=8, max_size=8))
def test_parts_are_as_large_as_the_limit_allows(names: str, found: list[int]) -> None:
    sizes = dict(zip("abcdefgh", found, strict=True))
    parts = cut(names, sizes)
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        groups = set(part) - {" "}
        written = sum(sizes[group] for group in groups)
        assert written <= COMMIT_RECORD_BYTES_MAX or len([group for group in groups if sizes[group]]) == 1
        if following:
            assert following[0] not in groups
            assert written + sizes[following[0]] > COMMIT_RECORD_BYTES_MAX
