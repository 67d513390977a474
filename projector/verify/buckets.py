"""The bits that index entries should have, as buckets.lua computes them, and those that picture.lua found."""

from collections.abc import Callable, Mapping, Sequence
from math import floor, frexp, inf
from typing import Any

from projector.readmodel.schema.keys import SLICES

ID_BYTES, ID_WINDOW = 32, 12


def bits_of(entries: Mapping[str, float]) -> dict[str, int]:
    """Returns bitmap -> the group's bit, or for `bits:by:<field>` its bucket. Where a name is missing both are 0."""
    bits = {}
    for index, score in entries.items():
        bucket = _BUCKET.get(index)
        if bucket:
            bits["bits:" + index] = bucket(score)
        elif index == "by:id":
            bits["bits:all"] = 1
        elif index.startswith("of:"):
            bits["bits:" + index] = 1
    return bits


def slices_of_id(group_id: bytes, reference: bytes) -> set[int]:
    """Returns each k for which `bits:by:id:<k>` should have its bit. Bytes: a damaged reference may be no UTF-8."""
    own, other = (text[:ID_BYTES].ljust(ID_BYTES, b"\0") for text in (group_id, reference))
    first = next((i for i in range(ID_BYTES) if own[i] != other[i]), ID_BYTES)
    window = range(first, min(first + ID_WINDOW, ID_BYTES))
    return {8 * (ID_BYTES - 1 - i) + k for i in window for k in range(8) if (own[i] ^ other[i]) >> k & 1}


def is_bitmap(name: str) -> bool:
    return name.startswith("bits:")


def index_of(name: str) -> str:
    """Returns the sorted set whose members have a bit in that bitmap; the name itself if it is no bitmap."""
    return "by:id" if name == "bits:all" else name.removeprefix("bits:")


def bits_found(
    ids: Sequence[str],
    indexes: Mapping[str, Sequence[int]],
    own: Sequence[Sequence[int]],
    members: Sequence[Sequence[int]],
) -> dict[str, dict[str, int]]:
    """Returns group id -> bitmap -> bits. `own` and `members` are `bits` and `members` of picture.lua's answer."""
    names = ("ordinal", "bits:all", *(f"bits:by:{field}" for field in SLICES))
    bits: dict[str, dict[str, int]] = {group_id: {} for group_id in ids}
    for group_id, found in zip(ids, own, strict=False):
        bits[group_id] = dict(zip(names, found, strict=False))
    for (name, numbers), in_bitmap in zip(indexes.items(), members, strict=False):
        for number, bit in zip(numbers, in_bitmap, strict=False):
            if bit >= 0:
                bits[ids[number - 1]]["bits:" + name] = bit
    return bits


def add_bits_of_ids(bits: Mapping[str, dict[str, int]], answer: Sequence[Any]) -> None:
    """Adds to `bits` how many bits of each id are wrong. `answer`: `ids` of picture.lua's answer."""
    if answer:
        reference, found = answer
        for (group_id, own), slices in zip(bits.items(), found, strict=False):
            # A group without an ordinal has no bits.
            if "bits:all" in own:
                own["bits:by:id"] = len(slices_of_id(group_id.encode(), reference) ^ {*slices})


def _clipped(bucket: float, slices: int) -> int:
    return int(max(0, min(bucket, 2**slices - 1)))


def _floor(score: float) -> int:
    """Returns the floor; scores may be infinite."""
    return floor(max(-(2.0**60), min(score, 2.0**60)))


def _time(ms: float) -> int:
    return _clipped(_floor(ms) + 62135596800000, 49)


def _steps(amount: float) -> int:
    if amount == 0:
        return 2**43
    mantissa, exponent = frexp(min(abs(amount), 2.0**108))
    step = _clipped((exponent + 20) * 2**36 + floor((mantissa - 0.5) * 2**37), 43)
    return 2**43 + step if amount > 0 else 2**43 - 1 - step


def _sellers(count: float) -> int:
    return _clipped(count, 10)


def _display_id(display_id: float) -> int:
    if display_id == inf:
        return 2**52
    number = _floor(display_id)
    if number < -(2**49):
        number = -(2**49) + (number + 2**49) // 16
    elif number > 2**51:
        number = 2**51 + (number - 2**51) // 8
    return _clipped(2**50 + number, 52)


_BUCKET: Mapping[str, Callable[[float], int]] = {
    "by:created_at": _time,
    "by:updated_at": _time,
    "by:total": _steps,
    "by:seller_count": _sellers,
    "by:display_id": _display_id,
}
