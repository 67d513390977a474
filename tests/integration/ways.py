"""How combine.lua answers: thresholds that force each way."""

import pytest

# No filter has so few members, or each has.
NEVER, ALWAYS = -(10**9), 10**9
MASKS = {"FEW_MEMBERS": NEVER}
WAYS: dict[str, dict[str, int]] = {
    "as it is": {},
    "look-ups": {"FEW_MEMBERS": ALWAYS, "LOOK_UPS": ALWAYS},
    "look-ups in bitmaps": {"FEW_MEMBERS": ALWAYS, "LOOK_UPS": NEVER},
    "masks, then a walk": {**MASKS, "WALKED_GROUPS": ALWAYS},
    "masks, then a list": {**MASKS, "WALKED_GROUPS": NEVER, "LISTED_GROUPS": ALWAYS},
    "masks, then slices and a list": {**MASKS, "WALKED_GROUPS": NEVER, "LISTED_GROUPS": 5},
    "masks, then slices": {**MASKS, "WALKED_GROUPS": NEVER, "LISTED_GROUPS": NEVER},
    "prepared masks": {**MASKS, "WORK_AT_ONCE": -1, "WORK_OF_A_CALL": 0},
    "prepared masks in larger parts": {"WORK_AT_ONCE": -1, "WORK_OF_A_CALL": 200},
    "records afterwards": {"RECORD_BYTES": 64},
}


def force(monkeypatch: pytest.MonkeyPatch, **thresholds: int) -> None:
    for name, value in thresholds.items():
        monkeypatch.setattr(f"projector.readmodel.query.calls.{name}", value)
