"""The bits of a commit, against bitmaps that are plain sets of ordinals."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.record.view import Indexed
from projector.readmodel.schema.columns import Columns, columns_of, head
from projector.store.flips import flips, runs, value_flips

LIMITS = {
    "created_at": (-62_135_596_800_000, 253_402_300_799_999),
    "updated_at": (-62_135_596_800_000, 253_402_300_799_999),
    "total": (-(10**24), 10**24),
    "seller_count": (1, 1000),
    "display_id": (-(2**53) + 1, 2**53 - 1),
}
SIGNS = {"created_at": 48, "updated_at": 48, "total": 80, "seller_count": 10, "display_id": 53}

columns = st.builds(
    Columns,
    *(st.integers(*LIMITS[name]) for name in ("created_at", "updated_at", "total", "seller_count")),
    st.none() | st.integers(*LIMITS["display_id"]),
)
indexed = st.builds(Indexed, columns, st.sets(st.sampled_from(["of:status:a", "of:status:b"])).map(tuple), st.just(b""))


def bits_of(one: Indexed | None) -> set[str]:
    """The bitmaps that have the group."""
    if one is None:
        return set()
    found = {"bits:all"} | ({"bits:has:display_id"} if one.columns.display_id is not None else set())
    for name, value in one.columns._asdict().items():
        for k in range(SIGNS[name]):
            # Two's complement is the value modulo a power of two.
            if ((value or 0) % 2 ** (SIGNS[name] + 1)) // 2**k % 2:
                found.add(f"bits:by:{name}:{k}")
        if (value or 0) < 0:
            found.add(f"bits:by:{name}:{SIGNS[name]}")
    return found


def apply(bitmaps: dict[str, set[int]], name: str, packed: bytes | bytearray) -> None:
    for ordinal, width, integer in struct.iter_unpack(">IBI", packed):
        assert 1 <= width <= 32
        for i in range(width):
            bit = integer >> (width - 1 - i) & 1
            (bitmaps.setdefault(name, set()).add if bit else bitmaps.setdefault(name, set()).discard)(ordinal + i)


@given(st.dictionaries(st.integers(0, 90), st.tuples(st.none() | indexed, st.none() | indexed)))
def test_bitmaps_hold_the_groups_as_they_are_afterwards(
    moves: dict[int, tuple[Indexed | None, Indexed | None]],
) -> None:
    found: dict[str, set[int]] = {}
    for ordinal, (before, _) in moves.items():
        for name in bits_of(before):
            found.setdefault(name, set()).add(ordinal)
    for name, packed in flips(moves).items():
        apply(found, name, packed)
    expected: dict[str, set[int]] = {}
    for ordinal, (_, after) in moves.items():
        for name in bits_of(after):
            expected.setdefault(name, set()).add(ordinal)
    assert {name: some for name, some in found.items() if some} == expected


def test_groups_that_do_not_change_have_no_bits_to_set() -> None:
    one = Indexed(Columns(1, 2, 3, 4, 5), ("of:status:a",), b"")
    assert not flips({7: (one, one)})
    assert not value_flips({7: (one, one)})


def test_values_get_a_bit_where_a_group_joins_or_leaves() -> None:
    before = Indexed(Columns(1, 2, 3, 4, 5), ("of:status:a", "of:status:b"), b"")
    after = Indexed(Columns(9, 9, 9, 9, 9), ("of:status:b", "of:status:c"), b"")
    found = value_flips({3: (before, after), 9: (None, after), 4: (before, None)})
    bits = {name: sorted(struct.iter_unpack(">IBI", packed)) for name, packed in found.items()}
    assert bits == {
        "of:status:a": [(3, 1, 0), (4, 1, 0)],
        "of:status:b": [(4, 1, 0), (9, 1, 1)],
        "of:status:c": [(3, 1, 1), (9, 1, 1)],
    }


def test_runs_are_consecutive_and_at_most_32_long() -> None:
    assert runs([5, 3, 4, 9]) == [[3, 4, 5], [9]]
    assert [len(run) for run in runs(range(100))] == [32, 32, 32, 4]
    assert runs([]) == []


@given(columns)
def test_a_head_holds_all_columns(some: Columns) -> None:
    assert len(head(some)) == 34
    assert columns_of(head(some) + b'{"id":"a"}') == some
    created_at, updated_at = (int.from_bytes(head(some)[i : i + 7], "big", signed=True) for i in (0, 7))
    assert (created_at, updated_at) == (some.created_at, some.updated_at)
