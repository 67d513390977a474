"""On PYTHONPATH it makes an API answer each query another way: its thresholds are forced low and high by turns."""

from itertools import cycle
from typing import Any

from projector.readmodel.query import calls

LOW, HIGH = -(10**9), 10**9
WAYS: list[dict[str, int]] = [
    # Member by member.
    {"FEW_MEMBERS": HIGH, "PROBES_MAX": HIGH},
    # Bitmaps; then one by one, or a list, or slices and a list, or slices and one by one.
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": HIGH},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": HIGH},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": 30, "PART_BYTES": 8},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": LOW, "PART_BYTES": 8},
    # Bitmaps that are put together in many calls, while groups change; then as it likes.
    {"FEW_MEMBERS": LOW, "AT_ONCE_MEMBERS": LOW, "SLICE_MEMBERS": LOW, "AGAIN_GROUPS": 8},
    {"AT_ONCE_MEMBERS": HIGH, "INTERVAL_MEMBERS": LOW},
    # Documents that are read after the list.
    {"TOLD_ROWS": LOW},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": 0, "TOLD_ROWS": LOW, "AT_ONCE_LISTED": LOW},
]
TURNS = cycle(WAYS)

_call = calls.call


DEFAULTS = {name: getattr(calls, name) for way in WAYS for name in way}


def call(*arguments: Any, **options: Any) -> Any:
    for name, value in (DEFAULTS | next(TURNS)).items():
        setattr(calls, name, value)
    return _call(*arguments, **options)


calls.call = call
print("every way", flush=True)
