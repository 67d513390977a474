"""Markdown for figures: tables, numbers with units, and whether an aim was met."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

from bench.runs import NO_REDIS, Machine, Run

_WIDTH = 120


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in (head, *rows)]
    return "".join([lines[0], f"|{'---|' * len(head)}\n", *lines[1:]])


def paragraph(*sentences: str) -> str:
    return fill(" ".join(sentences), _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def verdict(aim: str, missed: Mapping[str, str]) -> str:
    """`missed`: name -> figure of what did not meet the aim."""
    if not missed:
        return f"Aim: {aim}; met."
    return f"Aim: {aim}; missed: {'; '.join(f'{name} ({figure})' for name, figure in missed.items())}."


def made(found: Run) -> str:
    """Date, commit and machine."""
    return f"{found.date[:10]}, commit `{found.commit}`, {machine(found.machine)}."


def machine(found: Machine) -> str:
    parts = [
        f"{found.processors} processors",
        f"{found.memory_bytes / 2**30:.0f} GiB",
        found.system,
        f"Python {found.python}",
        *([found.redis] if found.redis != NO_REDIS else []),
        *([found.kafka] if found.kafka else []),
        *([f"PostgreSQL {found.postgresql}"] if found.postgresql else []),
    ]
    return ", ".join(parts)


def number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def rate(value: float) -> str:
    """Rounded to three or four digits."""
    return f"{number(round(value, -2 if value >= 10_000 else -1))}/s"


def ms(value: float) -> str:
    """Without the unit."""
    return f"{value:.1f}" if value < 10 else number(value)


def times(ratio: float) -> str:
    return f"{ratio:.2g}x" if ratio < 10 else f"{number(ratio)}x"
