"""Prints the report of a comparison."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from projector.verify.compare import Report
from projector.verify.difference import Difference

_out = Console(highlight=False, soft_wrap=True, markup=False)


def report(found: Report) -> None:
    """To standard output."""
    of_all = "" if found.sample == 1 else f", a sample of {found.sample:.2%} of all"
    other = "the log" if found.expected_from is None else f"generation {found.expected_from}"
    _out.print(f"Generation {found.generation} compared with {other}")
    _out.print(f"  groups   {found.groups:,}{of_all}, with {found.entries:,} index entries")
    positions, until = _positions(found.positions), _positions(found.until)
    _out.print(f"  at       {positions if positions == until else f'{positions} to {until}'}")
    if found.events:
        _out.print(f"  events   {found.events:,} folded, {found.parked:,} of them parked")
    if found.again:
        _out.print(f"  again    {found.again:,} compared again: they changed meanwhile, or differed at first")
    _out.print(f"  digests  documents {_same(*found.documents)}, index entries {_same(*found.index_entries)}")
    _out.print(f"  seconds  {found.seconds:,.1f}")
    if found.differences:
        if found.counts:
            _out.print(_counts(found))
        _out.print(f"{found.differences:,} {'difference' if found.differences == 1 else 'differences'}:")
        for difference in found.first:
            _out.print(_difference(found, difference))
        if len(found.first) < found.differences:
            _out.print(f"and {found.differences - len(found.first):,} more")
    elif found.sample == 1:
        _out.print("All equal.")
    else:
        _out.print("The sample is equal. A sample does not find unexpected members of indexes.")


def _positions(positions: Mapping[str, int]) -> str:
    return ",".join(f"{partition}@{offset}" for partition, offset in positions.items()) or "nothing"


def _same(expected: str, found: str) -> str:
    return expected if expected == found else f"{found} instead of {expected}"


def _counts(found: Report) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("count of", no_wrap=True)
    for name in ("expected", "found"):
        table.add_column(name, justify="right", no_wrap=True)
    for count in found.counts:
        table.add_row(count.kind, f"{count.expected:,}", f"{count.found:,}")
    return table


def _difference(found: Report, one: Difference) -> str:
    where = f"{one.group}: {one.what}" if one.group else one.what
    at = f" at {one.at}" if one.at else ""
    expected, actual = "expected", "found"
    if found.expected_from is not None:
        # Either the live generation differs from the new one, or what the new one holds does not fit its own records.
        expected, actual = f"generation {found.expected_from}", f"generation {one.generation}"
        if one.generation == found.expected_from:
            expected = "its records"
    width = max(len(expected), len(actual))
    return "\n".join(
        (
            legible(f"  {where}{at} (generation {one.generation}, shard {one.shard})"),
            legible(f"    {expected:<{width}}  {one.expected}"),
            legible(f"    {actual:<{width}}  {one.found}"),
        )
    )


def legible(text: str) -> str:
    """Escapes unprintable characters: ids come from publishers, and must not control the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
