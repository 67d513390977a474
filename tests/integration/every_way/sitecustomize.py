"""On PYTHONPATH it makes an API answer each query another way: its thresholds are forced low and high by turns."""

from itertools import cycle
from typing import Any

from projector.readmodel.query import calls

LOW, HIGH = -(10**9), 10**9
# How sellers are counted.
BY_VALUES = {"ROWS_AT_ONCE": 0, "ROWS_MAX": 0, "SELLERS_WORK": HIGH}
WAYS: list[dict[str, int]] = [
    {"FEW_MEMBERS": HIGH, "LOOK_UPS": HIGH},
    {"FEW_MEMBERS": HIGH, "LOOK_UPS": LOW},
    # Masks; then a walk, or a list, or slices and a list, or slices alone.
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": HIGH, **BY_VALUES},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": LOW, "LISTED_GROUPS": HIGH},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": LOW, "LISTED_GROUPS": 30, **BY_VALUES},
    {"FEW_MEMBERS": LOW, "WALKED_GROUPS": LOW, "LISTED_GROUPS": LOW},
    # Masks that are prepared in many calls, while groups change.
    {"FEW_MEMBERS": LOW, "WORK_AT_ONCE": -1, "WORK_OF_A_CALL": 0, "AGAIN_GROUPS": 8},
    # Records that are read after the page, and sellers before it; then as it likes.
    {"RECORD_BYTES": 64, "ROWS_AT_ONCE": 0, "SELLERS_WORK": LOW},
    {},
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
