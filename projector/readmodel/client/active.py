"""Chooses the generation to read: the one that `og:live` names, or the newest that this release can read. Pure.

While two releases run, each reads a generation of its own version. The release whose version is not live keeps serving
what it has, and reports not ready.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from redis.crc import key_slot

from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.readmodel.schema.generations import GENERATIONS, Listed, State
from projector.readmodel.schema.keys import LIVE, VERSION, Generation, Keys

LISTED_SLOT = key_slot(GENERATIONS.encode())

_generation = msgspec.json.Decoder(Generation)
_listed = msgspec.json.Decoder(Listed)


class ActiveGeneration(Struct, frozen=True):
    """`pointer`: the value of `og:live`. `listed`: that of `{og:live}:generations` if the choice depends on it.

    `name`: unique to the generation. `shards`: the keys of each. `slots`: their cluster slots, then that of `listed` if
    that is read with them.
    """

    pointer: bytes
    listed: Sequence[bytes] | None
    generation: Generation
    name: bytes
    shards: tuple[Keys, ...]
    slots: tuple[int, ...]

    @property
    def is_stale(self) -> bool:
        return self.listed is not None


def pointed(raw: bytes) -> ActiveGeneration | Generation:
    """Parses `og:live`. Returns a plain Generation if it has another version. Raises ReadModelFault."""
    try:
        generation = _generation.decode(raw)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"{LIVE}: expected a generation, found {raw!r}") from error
    if generation.shards < 1:
        raise ReadModelFault(f"{LIVE}: expected at least one shard, found {raw!r}")
    return _live(raw, None, generation) if generation.version == VERSION else generation


def fallback(raw: bytes, pointer: Generation, listed: Sequence[bytes]) -> ActiveGeneration:
    """Returns the newest ready generation of our version. Raises Unavailable, ReadModelFault.

    `listed`: the hash `{og:live}:generations`, field and value in turn.
    """
    ours = _ours(listed, State.READY)
    if not ours:
        raise Unavailable(
            f"{LIVE}: expected a generation of version {VERSION}, found number {pointer.number} of version "
            f"{pointer.version}, and no ready one of version {VERSION} in {GENERATIONS}"
        )
    return _live(raw, listed, max(ours, key=lambda generation: generation.number))


def upcoming(listed: Sequence[bytes], active: int) -> list[ActiveGeneration]:
    """Returns the newest generation of our version that may become active after that of number `active`, if any.

    `listed`: as for `fallback`. Raises ReadModelFault.
    """
    ours = [one for one in _ours(listed, State.VERIFIED, State.READY) if one.number > active]
    newest = sorted(ours, key=lambda generation: generation.number)[-1:]
    return [_live(b"", None, generation) for generation in newest]


def _ours(listed: Sequence[bytes], *states: State) -> list[Generation]:
    try:
        entries = [_listed.decode(value) for value in listed[1::2]]
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"{GENERATIONS}: expected generations, found {listed!r:.200}") from error
    return [one.generation for one in entries if one.generation.version == VERSION and one.state in states]


def _live(raw: bytes, listed: Sequence[bytes] | None, generation: Generation) -> ActiveGeneration:
    shards = tuple(generation.keys(number) for number in range(generation.shards))
    slots = [key_slot(keys.meta.encode()) for keys in shards]
    if listed is not None:
        slots.append(LISTED_SLOT)
    return ActiveGeneration(raw, listed, generation, msgspec.json.encode(generation), shards, tuple(slots))
