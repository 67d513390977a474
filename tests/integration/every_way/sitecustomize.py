"""On PYTHONPATH it makes an API answer each query another way: its thresholds are forced low and high by turns."""

from itertools import cycle
from typing import Any

import api.calls

LOW, HIGH = -(10**9), 10**9
WAYS = cycle(
    [
        # Member by member.
        {"FEW_MEMBERS": HIGH, "FEW_SEARCHED": HIGH},
        # Bitmaps; then one by one, or a list, or slices and a list, or slices and one by one.
        {"FEW_MEMBERS": LOW, "FEW_SEARCHED": LOW, "WALKED_GROUPS": HIGH},
        {"FEW_MEMBERS": LOW, "FEW_SEARCHED": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": HIGH},
        {"FEW_MEMBERS": LOW, "FEW_SEARCHED": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": 30},
        {"FEW_MEMBERS": LOW, "FEW_SEARCHED": LOW, "WALKED_GROUPS": 0, "LISTED_GROUPS": LOW},
    ]
)

_call = api.calls.call


def call(*arguments: Any, **options: Any) -> Any:
    for name, value in next(WAYS).items():
        setattr(api.calls, name, value)
    return _call(*arguments, **options)


api.calls.call = call
print("every way", flush=True)
