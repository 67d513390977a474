"""Exact decimal amounts, as integers in millionths; no float is involved."""

import re
from decimal import Decimal

from events.errors import InvalidEvent

DIGITS_MAX = 15
DECIMALS_MAX = 6
AMOUNT_ONE = 1_000_000  # 10**DECIMALS_MAX

# Matches a JSON number, and the text of a JSON string. The lengths keep megabytes away from Decimal.
_DECIMAL = re.compile(rb"-?[0-9]{1,64}(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_NAMES = {ord("{"): "object", ord("["): "array", ord("t"): "boolean", ord("f"): "boolean", ord("n"): "null"}
_SHOWN_MAX = 40


def amount_of(json: bytes, path: str) -> int:
    """Returns the millionths of the decimal in `json`, a JSON number or string. Raises InvalidEvent.

    Leading zeros, and zeros at the end of the fraction, do not count as digits.
    """
    # Fast path without a regular expression, for nearly every amount.
    whole, _, decimals = json.partition(b".")
    if whole.isdigit() and len(json) <= DIGITS_MAX and len(decimals) <= DECIMALS_MAX:
        if not decimals:
            return int(whole) * AMOUNT_ONE
        if decimals.isdigit():
            return int(whole + decimals.ljust(DECIMALS_MAX, b"0"))
    return _unusual(json, path)


def amount_text(amount: int) -> str:
    """Returns the shortest JSON number: `7400`, `74.5`, `-0.000001`."""
    whole, fraction = divmod(abs(amount), AMOUNT_ONE)
    text = f"{whole}.{fraction:06}".rstrip("0") if fraction else str(whole)
    return "-" + text if amount < 0 else text


def _unusual(json: bytes, path: str) -> int:
    name = _NAMES.get(json[0])
    if name:
        raise InvalidEvent(path, f"expected decimal, got {name}")
    text = json[1:-1] if json.startswith(b'"') else json
    if not _DECIMAL.fullmatch(text):
        raise InvalidEvent(path, f"expected decimal, got {_shown(json)}")
    sign, digits, exponent = Decimal(text.decode()).as_tuple()
    assert isinstance(exponent, int), "the pattern admits neither NaN nor infinity"
    significant = bytes(digits).strip(b"\0")
    if not significant:
        return 0
    exponent += len(digits) - len(bytes(digits).rstrip(b"\0"))
    decimals = max(-exponent, 0)
    digits_count = max(len(significant) + exponent, 0) + decimals
    if decimals > DECIMALS_MAX or digits_count > DIGITS_MAX:
        limits = f"at most {DIGITS_MAX} significant digits, {DECIMALS_MAX} of them after the point"
        raise InvalidEvent(path, f"expected decimal with {limits}, got {_shown(json)}")
    amount = int("".join(map(str, significant)) + "0" * (exponent + DECIMALS_MAX))
    return -amount if sign else amount


def _shown(json: bytes) -> str:
    text = json.decode(errors="replace")
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
