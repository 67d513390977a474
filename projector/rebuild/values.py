"""Writes the bitmap and the number of groups of each value, once all groups of a rebuild are written. The ones that are
in Redis before that may be out of date.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from projector.readmodel.schema.keys import FACET_FIELDS, Generation, Keys
from projector.readmodel.schema.ordinals import ordinal_of
from projector.rebuild.books import Books
from projector.rebuild.commands import Command
from projector.retry import Retry
from projector.store.commit import BROAD_GROUPS_MIN
from projector.store.nodes import Nodes

# Keys of one call, and members of one.
_KEYS, _MEMBERS = 500, 5000

# Answers the next cursor; the sets of values, among these keys, that have at least so many members or a bitmap; and
# of all sets the name and how many members they have, in turn.
_SCAN = """#!lua flags=no-writes
local cursor, keys = unpack(redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2] .. '*of:*', 'COUNT', ARGV[3]))
local found, sizes, of, bits = {}, {}, ARGV[2] .. 'of:', ARGV[2] .. 'bits:of:'
for _, key in ipairs(keys) do
  if string.sub(key, 1, #bits) == bits then
    found[#found + 1] = ARGV[2] .. string.sub(key, #ARGV[2] + 6)
  elseif string.sub(key, 1, #of) == of then
    local size = redis.call('ZCARD', key)
    sizes[#sizes + 1], sizes[#sizes + 2] = string.sub(key, #ARGV[2] + 1), size
    if size >= tonumber(ARGV[4]) then
      found[#found + 1] = key
    end
  end
end
return {cursor, found, sizes}
"""


def write_value_bitmaps(
    nodes: Nodes, generation: Generation, run: str, retry: Retry, check: Callable[[], None]
) -> None:
    """Writes `bits:of:*` and `values:*` of all shards. Called by the process that directs the builders of `run`.

    `check` is called between writes, and may raise.
    """
    for shard in range(generation.shards):
        keys, books, cursor = generation.keys(shard), Books(nodes, generation, shard, run, ""), b""
        # A builder that was killed may have counted values that are gone.
        _until_done(retry, partial(_write, [("DEL", *map(keys.values, FACET_FIELDS))], books))
        while cursor != b"0":
            cursor, found, sizes = retry(partial(_scan, nodes, keys, cursor or b"0"))
            check()
            if counts := _counts(keys, sizes):
                _until_done(retry, partial(_write, counts, books))
            for key in found:
                check()
                _until_done(retry, partial(_write_bitmap, nodes, keys, key, books))


def _until_done(retry: Retry, write: Callable[[], bool]) -> None:
    """`write` returns as Books.write."""
    while not retry(write):
        pass


def _scan(nodes: Nodes, keys: Keys, cursor: bytes) -> tuple[bytes, list[bytes], list[Any]]:
    with nodes.errors():
        client: Any = nodes.of(keys.meta)
        return cast(
            tuple[bytes, list[bytes], list[Any]],
            client.eval(_SCAN, 1, keys.absent, cursor, keys.prefix, _KEYS, BROAD_GROUPS_MIN),
        )


def _counts(keys: Keys, sizes: Sequence[Any]) -> list[Command]:
    """Returns the commands that write the numbers of groups. `sizes`: as _SCAN answers them."""
    arguments: dict[str, list[Any]] = {}
    for name, size in zip(sizes[::2], sizes[1::2], strict=True):
        _, field, value = name.split(b":", 2)
        if field.decode() in FACET_FIELDS:
            arguments.setdefault(field.decode(), []).extend((size, value))
    return [("ZADD", keys.values(field), *some) for field, some in arguments.items()]


def _write(commands: Sequence[Command], books: Books) -> bool:
    """Returns whether they were written; not if the books changed meanwhile."""
    books.read()
    return books.write(commands)


def _write_bitmap(nodes: Nodes, keys: Keys, key: bytes, books: Books) -> bool:
    """Makes the bitmap of the sorted set `key`. Returns as `_write`."""
    books.read()
    bits = bytearray()
    with nodes.errors():
        client: Any = nodes.of(keys.meta)
        for start in range(0, client.zcard(key), _MEMBERS):
            for member in client.zrange(key, start, start + _MEMBERS - 1):
                place, bit = divmod(ordinal_of(member), 8)
                if place >= len(bits):
                    bits.extend(bytes(place + 1 - len(bits)))
                bits[place] |= 128 >> bit
    return books.write([("SET", keys.prefix.encode() + b"bits:" + key[len(keys.prefix) :], bytes(bits))])
