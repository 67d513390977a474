"""The bits that index entries ought to have, as buckets.lua has them, and those that picture.lua found."""

from collections.abc import Callable, Mapping, Sequence
from math import floor, frexp, inf
from typing import Any

from projector.readmodel.schema.keys import SLICES

ID_BYTES, ID_WINDOW = 32, 12


def bits_of(entries: Mapping[str, float]) -> dict[str, int]:
    """Name of a bitmap -> the group's bit, or for `bits:by:<field>` its bucket. Those not named have none of it."""
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
    """Those of `bits:by:id:<k>` that ought to have its bit. Bytes: a reference that was spoilt may be no UTF-8."""
    own, other = (text[:ID_BYTES].ljust(ID_BYTES, b"\0") for text in (group_id, reference))
    first = next((i for i in range(ID_BYTES) if own[i] != other[i]), ID_BYTES)
    window = range(first, min(first + ID_WINDOW, ID_BYTES))
    return {8 * (ID_BYTES - 1 - i) + k for i in window for k in range(8) if (own[i] ^ other[i]) >> k & 1}


def is_bitmap(name: str) -> bool:
    return name.startswith("bits:")


def index_of(name: str) -> str:
    """The sorted set whose members have a bit in that bitmap; of what is none, itself."""
    return "by:id" if name == "bits:all" else name.removeprefix("bits:")


def bits_found(
    ids: Sequence[str],
    indexes: Mapping[str, Sequence[int]],
    own: Sequence[Sequence[int]],
    members: Sequence[Sequence[int]],
) -> dict[str, dict[str, int]]:
    """The last two as picture.lua answers them."""
    names = ("ordinal", "bits:all", *(f"bits:by:{field}" for field in SLICES))
    bits: dict[str, dict[str, int]] = {group_id: {} for group_id in ids}
    for group_id, found in zip(ids, own, strict=False):
        bits[group_id] = dict(zip(names, found, strict=False))
    for (name, numbers), some in zip(indexes.items(), members, strict=False):
        for number, bit in zip(numbers, some, strict=False):
            if bit >= 0:
                bits[ids[number - 1]]["bits:" + name] = bit
    return bits


def add_bits_of_ids(bits: Mapping[str, dict[str, int]], told: Sequence[Any]) -> None:
    """How many are wrong. `told` as picture.lua answers it."""
    if told:
        reference, found = told
        for (group_id, own), slices in zip(bits.items(), found, strict=False):
            # Of a group without an ordinal none can be.
            if "bits:all" in own:
                own["bits:by:id"] = len(slices_of_id(group_id.encode(), reference) ^ {*slices})


def _clipped(bucket: float, slices: int) -> int:
    return int(max(0, min(bucket, 2**slices - 1)))


def _whole(score: float) -> int:
    """Also of what is infinite."""
    return floor(max(-(2.0**60), min(score, 2.0**60)))


def _time(ms: float) -> int:
    return _clipped(_whole(ms) + 62135596800000, 49)


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
    number = _whole(display_id)
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
