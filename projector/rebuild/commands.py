"""A window of one shard as plain commands, in parts that keep Redis busy for a few milliseconds each. Pure.

Every command may be repeated. New groups get their ids, and known ones their new records, after all else is written:
a window that is begun again finds the groups as they were before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain

from msgspec import Struct

from projector.project import Change
from projector.readmodel.schema.keys import Keys
from projector.readmodel.schema.ordinals import BLOCK, LINES, member_of
from projector.rebuild.bitmaps import bitmaps
from projector.store.flips import BITS, Moves, flips
from projector.store.request import Argument, by_member, entries, lines

# Of one part: Redis takes about a microsecond for an argument.
PART_ARGUMENTS = 4000
PART_BYTES = 512 * 1024
# Of one command, so that parts can be cut between commands. Pairs, and fours, stay together.
_COMMAND_ARGUMENTS, _COMMAND_BYTES, _TOGETHER = 400, PART_BYTES // 8, 4
# After each line of `text`.
_END = b"\xff"

Command = tuple[Argument, ...]


class New(Struct, frozen=True):
    """The new groups of a window: their ids, in order of their ordinals, which begin at `first`."""

    first: int
    ids: Sequence[str]

    @property
    def end(self) -> int:
        """The end of the reserved blocks."""
        return self.first + -(-len(self.ids) // BLOCK) * BLOCK

    @property
    def digest(self) -> str:
        return blake2b("\0".join(self.ids).encode(), digest_size=8).hexdigest()

    def __contains__(self, ordinal: object) -> bool:
        return ordinal in range(self.first, self.end)


def commands(keys: Keys, change: Change, new: New) -> Iterator[Command]:
    """Yields the commands, in order; without the texts of `old_chunks`."""
    # Redis adds members faster in the order of their scores.
    moves = dict(sorted(change.moves.items(), key=lambda move: move[1][1].columns.created_at if move[1][1] else 0))
    known = {ordinal: move for ordinal, move in moves.items() if ordinal not in new}
    for name, key, arguments in entries(change, moves):
        yield from _cut(name, keys.prefix + key, arguments)
    listed = [moves[ordinal][1] if ordinal in moves else None for ordinal in range(new.first, new.end)]
    for key, bits in bitmaps(listed):
        yield "SETRANGE", keys.prefix + key, str(new.first // 8), bits
    for key, packed in flips(known).items():
        flipped = (("SET", f"u{width}", str(at), str(bits)) for at, width, bits in BITS.iter_unpack(packed))
        yield from _cut("BITFIELD", keys.prefix + key, chain.from_iterable(flipped))
    yield from _cut("HSET", keys.text, _texts({o: move for o, move in moves.items() if o in new}, {}))
    yield from _cut("HSET", keys.record, by_member({o: one for o, one in change.records.items() if o in new}))
    ids = ((group_id, member_of(new.first + i)) for i, group_id in enumerate(new.ids))
    yield from _cut("HSET", keys.ordinal, chain.from_iterable(ids))
    yield from _cut("HSET", keys.record, by_member({o: one for o, one in change.records.items() if o not in new}))


def old_chunks(change: Change, new: New) -> list[int]:
    """Returns the chunks of `text` that change, and may have other lines."""
    return [chunk for chunk in lines(change.moves) if chunk * LINES not in new]


def text_commands(keys: Keys, change: Change, chunks: Mapping[int, bytes | None]) -> Iterator[Command]:
    """Yields commands that write `chunks`, which are the present ones, with the lines that change."""
    yield from _cut("HSET", keys.text, _texts({o: m for o, m in change.moves.items() if o // LINES in chunks}, chunks))


def parts(found: Iterable[Command]) -> list[list[Command]]:
    """Returns the commands in parts of at most PART_ARGUMENTS and PART_BYTES, or a command more."""
    cut: list[list[Command]] = [[]]
    arguments = size = 0
    for command in found:
        if arguments >= PART_ARGUMENTS or size >= PART_BYTES:
            cut.append([])
            arguments = size = 0
        cut[-1].append(command)
        arguments += len(command)
        size += sum(map(len, command))
    return cut


def _texts(moves: Moves, chunks: Mapping[int, bytes | None]) -> Iterator[Argument]:
    for chunk, by_place in lines(moves).items():
        all_lines = (chunks.get(chunk) or LINES * _END).split(_END)
        for place, line in by_place.items():
            all_lines[place] = line
        yield from (str(chunk), _END.join(all_lines))


def _cut(name: str, key: str, arguments: Iterable[Argument]) -> Iterator[Command]:
    some: list[Argument] = []
    size = 0
    for argument in arguments:
        if len(some) % _TOGETHER == 0 and (len(some) >= _COMMAND_ARGUMENTS or size >= _COMMAND_BYTES):
            yield name, key, *some
            some, size = [], 0
        some.append(argument)
        size += len(argument)
    if some:
        yield name, key, *some
