"""Prints the results of `projector replay` to standard output, as text or as a line of JSON for each step."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import structs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from projector.cli.show import TABLE_WIDTH
from projector.cli.show_verify import report as show_report
from projector.readmodel.schema.keys import Generation
from projector.replay.plan import Plan
from projector.status import GenerationStatus
from projector.verify.compare import Report

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else TABLE_WIDTH)


def plan(made: Plan, as_json: bool) -> None:
    if as_json:
        stretches = [structs.asdict(stretch) | {"partition": str(stretch.partition)} for stretch in made.stretches]
        _line("plan", structs.asdict(made) | {"stretches": stretches})
        return
    begun = ", unfinished" if made.resumes else ""
    live = f"beside live generation {made.live.number}" if made.live else "no generation is live"
    _out.print(f"Generation {made.number}{begun}, {made.shards} {'shard' if made.shards == 1 else 'shards'}, {live}")
    table = _table("partition", "from", "to", "events", "oldest")
    for stretch in made.stretches:
        oldest = "-" if stretch.earliest_ms is None else _time(stretch.earliest_ms)
        table.add_row(str(stretch.partition), f"{stretch.start:,}", f"{stretch.end:,}", f"{stretch.events:,}", oldest)
    _out.print(table)
    _out.print(
        f"{made.events:,} events, about {max(made.seconds, 1):,.0f} s with {made.workers} "
        f"{'worker' if made.workers == 1 else 'workers'}. "
        f"Redis memory: about {_mib(made.memory_needed)} needed, {_mib(made.memory_free)} free."
    )
    if made.kept:
        numbers = [str(number) for number in made.kept]
        _out.print(f"Also kept: {', '.join(numbers)}. To free their memory: projector replay drop {' '.join(numbers)}")


def refusals(made: Plan, as_json: bool) -> None:
    """Prints nothing with `as_json`, since the plan contains them."""
    for refusal in made.refusals if not as_json else ():
        _out.print(f"Refused: {refusal.reason}. To override: {refusal.remedy}")


def built(made: Plan, as_json: bool) -> None:
    if as_json:
        _line("build", {"generation": made.number})
    else:
        _out.print(f"Built generation {made.number}.")


def verified(report: Report, as_json: bool) -> None:
    if as_json:
        _line("verify", report)
    else:
        show_report(report)


def switched(step: str, now: Generation, before: Generation | None, as_json: bool) -> None:
    if as_json:
        _line(step, {"generation": now.number, "before": before.number if before else None})
        return
    kept = f" Generation {before.number} is kept: projector replay rollback switches back." if before else ""
    _out.print(f"Generation {now.number} is live.{kept}")


def dropped(number: int, keys: int, as_json: bool) -> None:
    if as_json:
        _line("drop", {"generation": number, "keys": keys})
    else:
        _out.print(f"Dropped generation {number}, {keys:,} keys.")


def generations(found: Sequence[GenerationStatus], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    table = _table("generation", "state", "version", "shards", "groups", "memory", "made")
    for one in found:
        table.add_row(
            str(one.number),
            one.state,
            str(one.version),
            str(one.shards),
            f"{one.groups:,}",
            _mib(one.bytes),
            one.made_at[:16].replace("T", " "),
        )
    _out.print(table)


def _line(step: str, result: object) -> None:
    print(msgspec.json.encode({"step": step, **msgspec.to_builtins(result, str_keys=True)}).decode(), flush=True)


def _table(name: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(name, no_wrap=True)
    for other in others:
        table.add_column(other, justify="right", no_wrap=True)
    return table


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds")
