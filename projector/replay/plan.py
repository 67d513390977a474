"""The plan of a replay: what it will do, and why it may be refused."""

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from events.logs.log import Log, Loss, Partition
from projector.continuity import compare
from projector.personal_data import setting
from projector.readmodel.schema.generations import Listed, State
from projector.readmodel.schema.keys import VERSION, Generation
from projector.sizing import BYTES_PER_EVENT, REBUILD_EVENTS_PER_S
from projector.status import lowest_positions
from projector.store import memory
from projector.store.nodes import Nodes
from projector.store.redis import Store


class Stretch(Struct, frozen=True):
    """The offsets to read of a partition: from `start` to before `end`. `earliest_ms`: time of its oldest record."""

    partition: Partition
    start: int
    end: int
    earliest_ms: int | None

    @property
    def events(self) -> int:
        return self.end - self.start


class Refusal(Struct, frozen=True):
    """`remedy`: the option that overrides the refusal."""

    reason: str
    remedy: str


class Plan(Struct, frozen=True):
    """`number`, `shards`: of the generation to build. `resumes`: whether it was begun before. `events`: left to read.

    `memory_needed`, `memory_free`: in bytes. `seconds`: an estimate. `kept`: other generations that are not live.
    """

    number: int
    shards: int
    resumes: bool
    live: Generation | None
    stretches: list[Stretch]
    events: int
    memory_needed: int
    memory_free: int
    workers: int
    seconds: float
    kept: list[int]
    refusals: list[Refusal]


def make_plan(
    log: Log,
    nodes: Nodes,
    shards: int | None,
    workers: int,
    accept_loss: Collection[Loss],
    force: bool,
    personal_data: bool = True,
) -> Plan:
    """Changes nothing. Raises LogMissing, LogUnavailable, StoreUnavailable."""
    store = Store(nodes)
    catalogue = store.catalogue
    live, listed = catalogue.live(), catalogue.listed()
    begun = unfinished(listed, live)
    partitions = log.partitions()
    # Read before the end of the log, so that they cannot be after it.
    reached = lowest_positions(nodes, live, partitions)
    first, end, times = log.first(), log.end(), log.first_times()
    built = lowest_positions(nodes, begun.generation if begun else None, partitions)
    stretches = [Stretch(p, max(built[p], first[p]), end[p], times[p]) for p in partitions]
    events = sum(stretch.events for stretch in stretches)
    needed = _memory(nodes, live, sum(reached.values()), events)
    free = memory.free(nodes)
    losses = dict(_losses(log, store, live, reached, first, end))
    refusals = [
        Refusal(sentence, f"--accept-loss {loss}") for loss, sentence in losses.items() if loss not in accept_loss
    ]
    if needed > free and not force:
        refusals.append(Refusal(f"it needs about {_mib(needed)} of Redis memory, but {_mib(free)} are free", "--force"))
    if begun and shards not in (None, begun.generation.shards):
        number, has = begun.generation.number, begun.generation.shards
        reason = f"generation {number} was begun with --shards {has}"
        refusals.append(Refusal(reason, f"--shards {has}, or projector replay drop {number}"))
    if begun and begun.generation.personal_data != personal_data:
        number, value = begun.generation.number, setting(begun.generation.personal_data)
        reason = f"generation {number} was begun with PERSONAL_DATA={value}"
        refusals.append(Refusal(reason, f"PERSONAL_DATA={value}, or projector replay drop {number}"))
    kept = [entry.generation.number for entry in listed if entry.generation != live and entry != begun]
    used = min(workers, len(partitions))
    return Plan(
        number=begun.generation.number if begun else catalogue.next_number(),
        shards=begun.generation.shards if begun else shards or (live.shards if live else 1),
        resumes=begun is not None,
        live=live,
        stretches=stretches,
        events=events,
        memory_needed=needed,
        memory_free=free,
        workers=used,
        seconds=events / (REBUILD_EVENTS_PER_S * used),
        kept=kept,
        refusals=refusals,
    )


def unfinished(listed: list[Listed], live: Generation | None) -> Listed | None:
    """Returns the generation of this version that a replay has begun but not switched to."""
    states = (State.BUILDING, State.VERIFIED)
    found = [e for e in listed if e.state in states and e.generation.version == VERSION and e.generation != live]
    return found[-1] if found else None


def _losses(
    log: Log,
    store: Store,
    live: Generation | None,
    reached: Mapping[Partition, int],
    first: Mapping[Partition, int],
    end: Mapping[Partition, int],
) -> Iterator[tuple[Loss, str]]:
    yield from log.losses().items()
    gone = {p: offset for p, offset in first.items() if offset > 0}
    if gone:
        where = ", ".join(f"{partition} begins at {offset}" for partition, offset in gone.items())
        yield Loss.RETENTION, f"the log has lost its beginning: {where}, and earlier events cannot be rebuilt"
    if live is None:
        return
    known = store.log_of(live)
    if known is not None and known != log.identity():
        yield (
            Loss.RECREATED,
            f"{log.topic} was deleted and created again: events that only the former log had would be lost",
        )
        return
    sentences = [
        f"{divergence}. {divergence.lost} events that the live read model has applied are no longer in the log, the "
        f"first of them at {divergence.first_lost} or later"
        for divergence in compare(log, store, live, list(reached)).diverged
    ]
    ahead = {partition: at for partition, at in reached.items() if at > end[partition]}
    if ahead:
        where = ", ".join(f"{p} is applied up to {at} and ends at {end[p]}" for p, at in ahead.items())
        sentences.append(f"the log is shorter than what the live read model has applied: {where}")
    if sentences:
        yield Loss.RECREATED, "; ".join(sentences)


def _memory(nodes: Nodes, live: Generation | None, applied: int, events: int) -> int:
    """Estimates bytes from what the live generation takes for each event that it has applied."""
    if live is None or applied == 0:
        return events * BYTES_PER_EVENT
    return memory.used(nodes, live).total() * events // applied


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"
