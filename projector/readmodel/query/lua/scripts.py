"""The Lua scripts of the read side, put together from their parts."""

from importlib.resources import files
from pathlib import Path

from projector.readmodel.client.script import Script

# Redis refuses any write in such a script. Known since Redis 7.0.
READS = "#!lua flags=no-writes\n"
# Bitmaps can only be combined into keys, and groups sorted in one; these are gone when the script ends. Not even a full
# Redis need refuse that.
COMBINES = "#!lua flags=allow-oom\n"

_HERE = Path(__file__).parent
_SCHEMA = files("projector.readmodel.schema")
_BUCKETS, _LINES, _ONES = (
    _SCHEMA.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("buckets", "lines", "ones")
)


def _script(start: str, *names: str) -> Script:
    """Of the last name is the script itself, of the others are the parts before it."""
    *parts, own = names
    paths = [*(_HERE / "parts" / f"{part}.lua" for part in parts), _HERE / f"{own}.lua"]
    return Script(start + "\n".join(path.read_text(encoding="utf-8") for path in paths))


_SHARD = ("keys", "changes")
CHANGED = _script(READS, *_SHARD, "changed")
SCAN = _script(READS, *_SHARD, "window", "scan")
SEARCH = _script(READS + _LINES, "find", "search")
_FILTERS = (*_SHARD, "window", "members", "mask", "slices", "sides")
GATHER = _script(COMBINES + _BUCKETS, *_FILTERS, "gather")
SELECT = _script(
    COMBINES + _BUCKETS + _LINES + _ONES, "find", *_FILTERS, "gathered", "needle", "order", "views", "page", "select"
)
ONE = _script(READS, "one")
END = _script(READS, "end")
PLACES = _script(READS, "places")
