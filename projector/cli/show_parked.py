"""Prints the results of `projector parked` to standard output, as text or as JSON."""

import sys
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec import structs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from events.logs.header_names import bytes_of
from projector.cli.show import TABLE_WIDTH
from projector.cli.show_verify import legible
from projector.parked.listing import Entry, by_reason
from projector.parked.record import Parked, shown
from projector.parked.redrive import Redriven

# Lines of 16 bytes that are shown of a value that is no text.
HEX_LINES_MAX = 64

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else TABLE_WIDTH)


def listed(generation: int, found: Sequence[Entry], limit: int, reason: str | None, as_json: bool) -> None:
    reasons = by_reason(found)
    if as_json:
        listing = {"generation": generation, "total": len(found), "reasons": reasons, "parked": found[:limit]}
        print(msgspec.json.encode(listing).decode())
        return
    if not found:
        with_it = "" if reason is None else f" with {reason!r} in its reason"
        print(f"Nothing is parked{with_it}, in generation {generation}.")
        return
    table = _table("position", "attempts", "parked at", "bytes", "reason")
    for entry in found[:limit]:
        parked_at = "-" if entry.parked_at is None else entry.parked_at[:19].replace("T", " ")
        size = f"{entry.bytes:,}"
        table.add_row(entry.position, str(entry.attempts), parked_at, size, escape(legible(entry.reason)))
    if limit:
        _out.print(table)
    if len(found) > limit:
        print(f"and {len(found) - limit:,} more; --limit {len(found)} shows all\n")
    width = max(len(f"{count:,}") for count in reasons.values())
    print(f"{len(found):,} parked in generation {generation}:")
    for text, count in reasons.items():
        print(f"  {count:>{width},}  {legible(text)}")


def one(found: Parked, as_json: bool) -> None:
    if as_json:
        print(shown(found).decode())
        return
    rows = {
        "position": found.position,
        "reason": found.reason,
        "attempts": str(found.attempts),
        "parked at": found.parked_at or "-",
        "time": f"{found.time or '-'} ({found.timestamp_ms} ms)",
        "key": _text(found.key),
        **{f"header {_text(bytes_of(name))}": _text(value) for name, value in found.headers},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(legible(f"{name:<{width}}  {value}"))
    if not found.with_payload:
        print("key, headers and value are in the log alone: PERSONAL_DATA is off")
        return
    print("value" if found.value is not None else "no value")
    for line in _lines(found.value):
        print(f"  {line}")


def redriven(found: Redriven, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for position, reason in found.parked.items():
        print(legible(f"{position}: {reason}"))
    parts = [f"{found.applied:,} applied", f"{found.stale:,} stale", f"{found.passed_over:,} passed over"]
    print(f"{', '.join(parts)}; {len(found.parked):,} still parked{_gone(found.gone)}.")


def discarded(found: Sequence[Entry], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"discarded": [structs.asdict(entry) for entry in found]}).decode())
        return
    for entry in found:
        print(legible(f"{entry.position}: {entry.reason}"))
    print(f"{len(found):,} discarded. They stay in the log: a replay parks them again.")


def _gone(count: int) -> str:
    return f"; {count:,} were redriven or discarded by another process" if count else ""


def _text(value: bytes | None) -> str:
    """Returns text, or the Python literal of bytes that are no text."""
    if value is None:
        return "-"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def _lines(value: bytes | None) -> list[str]:
    """Returns indented JSON, unchanged text, or hexadecimal bytes."""
    if value is None:
        return []
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _hexadecimal(value)
    # The event may be parked because it is no JSON.
    with suppress(msgspec.DecodeError, RecursionError):
        text = msgspec.json.format(text)
    return [legible(line) for line in text.split("\n")]


def _hexadecimal(value: bytes) -> list[str]:
    lines = []
    for start in range(0, min(len(value), 16 * HEX_LINES_MAX), 16):
        row = value[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {shown}")
    if len(value) > 16 * HEX_LINES_MAX:
        lines.append(f"and {len(value) - 16 * HEX_LINES_MAX:,} more bytes; --raw prints all")
    return lines


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name != "reason", justify="right" if name in ("attempts", "bytes") else "left")
    return table
