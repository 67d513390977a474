"""Bitmaps over ordinals as docs/architecture.md has them, written a second time. Imports no project code."""

import math
from collections.abc import Iterable, Mapping
from datetime import date

SLICES = {"created_at": 49, "updated_at": 49, "total": 44, "seller_count": 10, "display_id": 53}
# Milliseconds from the year 1 to 1970.
EPOCH_MS = (date(1970, 1, 1) - date(1, 1, 1)).days * 86_400_000
# Of an id the slices tell so many bytes from where it differs from the first id of its shard, none beyond the 32nd.
ID_BYTES, ID_WINDOW = 32, 12


def bucket(field: str, score: float) -> int:
    """Of what by:<field> is scored by."""
    if field == "total":
        return _total(score)
    if field == "seller_count":
        return min(int(score), 1023)
    if field == "display_id":
        return 2**52 if score == math.inf else _number(score)
    return min(max(math.floor(score) + EPOCH_MS, 0), 2**49 - 1)


def _total(total: float) -> int:
    if total == 0:
        return 2**43
    mantissa, exponent = math.frexp(abs(total))
    step = min(max((exponent + 20) * 2**36 + math.floor((mantissa - 0.5) * 2**37), 0), 2**43 - 1)
    return 2**43 + step if total > 0 else 2**43 - 1 - step


def _number(display_id: float) -> int:
    """In sixteens below -2^49, in eights from 2^51 on."""
    whole = math.floor(display_id)
    near = min(max(whole, -(2**49)), 2**51)
    far = max(whole - 2**51, 0) // 8 + min(whole + 2**49, 0) // 16
    return min(max(2**50 + near + far, 0), 2**52 - 1)


def bitmaps(entries: Mapping[tuple[str, str], float], ordinals: Mapping[str, int]) -> dict[str, set[int]]:
    """Name -> the ordinals whose bit is set, for every bitmap that could be; those without a bit are left out."""
    found: dict[str, set[int]] = {}
    for (index, group_id), score in entries.items():
        kind, _, field = index.partition(":")
        ordinal = ordinals[group_id]
        if index == "by:id":
            found.setdefault("all", set()).add(ordinal)
        elif kind == "by":
            place = bucket(field, score)
            for k in range(SLICES[field]):
                if place >> k & 1:
                    found.setdefault(f"{index}:{k}", set()).add(ordinal)
        else:
            found.setdefault(index, set()).add(ordinal)
    reference = next((group_id for group_id, ordinal in ordinals.items() if ordinal == 0), "")
    for group_id, ordinal in ordinals.items():
        different = id_bits(group_id, reference)
        for k in range(8 * ID_BYTES):
            if different >> k & 1:
                found.setdefault(f"by:id:{k}", set()).add(ordinal)
    return found


def id_bits(group_id: str, reference: str) -> int:
    """In which bits an id differs from the first one of its shard, within the window."""
    one, other = (text.encode()[:ID_BYTES].ljust(ID_BYTES, b"\0") for text in (group_id, reference))
    different = bytes(a ^ b for a, b in zip(one, other, strict=True))
    start = len(different) - len(different.lstrip(b"\0"))
    window = different[start : start + ID_WINDOW]
    return int.from_bytes(bytes(start) + window + bytes(ID_BYTES - start - len(window)), "big")


def bits(bitmap: bytes) -> set[int]:
    return {8 * i + place for i, byte in enumerate(bitmap) if byte for place in range(8) if byte >> (7 - place) & 1}


def as_bytes(ordinals: Iterable[int]) -> bytes:
    ordinals = set(ordinals)
    found = bytearray(max(ordinals, default=-1) // 8 + 1)
    for ordinal in ordinals:
        found[ordinal // 8] |= 1 << (7 - ordinal % 8)
    return bytes(found)
