"""The buckets that verify expects are those of tests/buckets.py, which was written without it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.schema.keys import ID_SLICES, SLICES
from projector.verify.buckets import bits_of, slices_of_id
from tests import buckets

EDGES = (0.0, -0.0, 1e-300, 5e-324, 2.0**-21, 2.0**-20, 0.005, 0.5, 1.0, 15.99, 16.0, 1e15, 1.7e308, math.inf)


def scores(field: str) -> list[float]:
    rng = random.Random(field)
    some = [*EDGES, *(rng.random() * 10.0 ** rng.uniform(-9, 18) for _ in range(5000))]
    some += [float(rng.randrange(2000)) for _ in range(500)]
    some += [rng.randrange(2_000_000_000_000) + rng.choice((0, 0.25, 0.999)) for _ in range(500)]
    some += [rng.randrange(1, 120_000_000_000) / 100 for _ in range(2000)]
    some += [
        edge + rng.choice((-1, 0, 1))
        for edge in (2.0**48, 2.0**49, 2.0**50, 2.0**51, 2.0**52, 2.0**53, 253402300799999.0, 62135596800000.0)
        for _ in range(5)
    ]
    some += [float(rng.randrange(2**53)) for _ in range(500)]
    # On both sides of where a bucket of totals begins.
    steps = [2.0 ** (n // 2**36) * (1 + n % 2**36 / 2**36) for n in (rng.randrange(40 * 2**36) for _ in range(500))]
    some += [near for step in steps for near in (math.nextafter(step, 0), step, math.nextafter(step, math.inf))]
    if field != "seller_count":
        some += [-score for score in some]
    # A group without a display id has an infinite score there, and nothing else has.
    return [score for score in some if math.isfinite(score) or (field == "display_id" and score > 0)]


@pytest.mark.parametrize("field", SLICES)
def test_buckets(field: str) -> None:
    for score in scores(field):
        assert bits_of({f"by:{field}": score}) == {f"bits:by:{field}": buckets.bucket(field, score)}, score


@pytest.mark.parametrize("field", SLICES)
@pytest.mark.parametrize("score", [math.inf, -math.inf, -1.0])
def test_whatever_a_set_was_spoilt_with_has_a_bucket(field: str, score: float) -> None:
    assert 0 <= bits_of({f"by:{field}": score})[f"bits:by:{field}"] < 2 ** SLICES[field]


def test_slices_are_those_of_the_contract() -> None:
    assert SLICES == buckets.SLICES
    assert ID_SLICES == 8 * buckets.ID_BYTES


# They begin alike, and end within each other, before the first 32 bytes or behind.
IDS = st.one_of(
    st.text("0\0ä", max_size=40), st.text(min_size=1), st.from_regex("og_01[0-9A-HJKMNP-TV-Z]{24}", fullmatch=True)
)


@given(IDS, IDS)
def test_slices_of_ids(group_id: str, reference: str) -> None:
    assert slices_of_id(group_id.encode(), reference.encode()) == {
        k for k in range(ID_SLICES) if buckets.id_bits(group_id, reference) >> k & 1
    }


@given(IDS, IDS, IDS)
def test_slices_never_turn_ids_round(one: str, other: str, reference: str) -> None:
    start = int.from_bytes(reference.encode()[: buckets.ID_BYTES].ljust(buckets.ID_BYTES, b"\0"), "big")
    places = [buckets.id_bits(group_id, reference) ^ start for group_id in sorted((one, other), key=str.encode)]
    assert places[0] <= places[1]


def test_one_bit_in_each_value_and_in_all() -> None:
    assert bits_of({"by:id": 0, "of:status:a:b": 17, "of:seller_id:": 3}) == {
        "bits:all": 1,
        "bits:of:status:a:b": 1,
        "bits:of:seller_id:": 1,
    }
    assert bits_of({}) == {}
