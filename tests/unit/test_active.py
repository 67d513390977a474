"""The choice of the generation to read."""

import re

import msgspec
import pytest

from projector.readmodel.client.active import ActiveGeneration, fallback, pointed
from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.readmodel.schema.generations import Listed, State
from projector.readmodel.schema.keys import VERSION, Generation

OTHER = VERSION + 1


def raw(generation: Generation) -> bytes:
    return msgspec.json.encode(generation)


def listed(*found: tuple[Generation, State]) -> list[bytes]:
    reply = []
    for generation, state in found:
        entry = msgspec.json.encode(Listed(generation, state, "2026-06-01T00:00:00Z"))
        reply += [b"%d" % generation.number, entry]
    return reply


def test_a_generation_of_our_version_is_read() -> None:
    live = pointed(raw(Generation(7, 3, VERSION, "n")))
    assert isinstance(live, ActiveGeneration)
    assert [keys.prefix for keys in live.shards] == ["og:{7.0}:", "og:{7.1}:", "og:{7.2}:"]
    assert len(live.slots) == 3
    assert not live.is_stale


def test_a_generation_of_another_version_is_not() -> None:
    generation = Generation(7, 3, OTHER, "n")
    assert pointed(raw(generation)) == generation


def test_the_newest_ready_generation_of_our_version_is_read_instead() -> None:
    generations = listed(
        (Generation(3, 1, VERSION), State.READY),
        (Generation(10, 2, VERSION), State.READY),
        (Generation(9, 1, VERSION), State.READY),
        (Generation(11, 1, VERSION), State.VERIFIED),
        (Generation(12, 1, VERSION), State.DROPPING),
        (Generation(13, 1, OTHER), State.READY),
    )
    pointer = Generation(13, 1, OTHER)
    live = fallback(raw(pointer), pointer, generations)
    assert live.generation == Generation(10, 2, VERSION)
    assert (live.pointer, live.listed, live.is_stale) == (raw(pointer), generations, True)
    assert len(live.slots) == len(live.shards) + 1, "{og:live}:generations is read with the shards"


def test_no_generation_of_our_version() -> None:
    pointer = Generation(13, 1, OTHER)
    for generations in (listed(), listed((Generation(3, 1, VERSION), State.BUILDING))):
        with pytest.raises(Unavailable, match=f"expected .* version {VERSION}, found number 13 of version {OTHER}"):
            fallback(raw(pointer), pointer, generations)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"number":0}', b'{"number":0,"shards":0,"version":1}'])
def test_an_invalid_pointer(text: bytes) -> None:
    with pytest.raises(ReadModelFault, match="og:live"):
        pointed(text)


def test_an_invalid_list_of_generations() -> None:
    with pytest.raises(ReadModelFault, match=re.escape("{og:live}:generations")):
        fallback(b"", Generation(13, 1, OTHER), [b"1", b"{"])
