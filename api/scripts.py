"""The Lua scripts of the read side, each with the digest by which Redis knows it."""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from pathlib import Path

from api.batches import Command
from projector.readmodel.schema.keys import Keys

# Redis refuses any write in such a script. Known since Redis 7.0.
READS = "#!lua flags=no-writes\n"
# Bitmaps can only be combined into keys, and groups sorted in one; these are gone when the script ends. Not even a full
# Redis need refuse that.
COMBINES = "#!lua flags=allow-oom\n"

_HERE = Path(__file__).parent
_MODEL = files("projector.readmodel.schema")
_BUCKETS, _LINES, _ONES = (
    _MODEL.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("buckets", "lines", "ones")
)


class Script:
    __slots__ = ("digest", "text")

    def __init__(self, start: str, *parts: str) -> None:
        self.text = start + "\n".join((_HERE / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Keys, names: Sequence[str], *arguments: str | bytes) -> Command:
        """`names`: the keys that the script names, all of the shard `keys`. Behind them comes one that never exists."""
        return ("EVALSHA", self.digest, str(len(names) + 1), *names, keys.absent, *arguments)


_SHARD = ("keys", "changes")
CHANGED = Script(READS, *_SHARD, "changed")
SCAN = Script(READS, *_SHARD, "window", "scan")
SEARCH = Script(READS + _LINES, "find", "search")
_FILTERS = (*_SHARD, "window", "members", "mask", "slices", "sides")
GATHER = Script(COMBINES + _BUCKETS, *_FILTERS, "gather")
SELECT = Script(
    COMBINES + _BUCKETS + _LINES + _ONES, "find", *_FILTERS, "gathered", "needle", "order", "views", "page", "select"
)
ONE = Script(READS, "one")
END = Script(READS, "end")
PLACES = Script(READS, "places")
