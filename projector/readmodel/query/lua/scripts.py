"""The Lua scripts of the read side, assembled from modules."""

from importlib.resources import files

from projector.readmodel.client.script import Script, assembled

# Redis refuses any write in such a script. Known since Redis 7.0.
READS = "#!lua flags=no-writes"
# Bitmaps can only be combined into keys; these are gone when the script ends. Not even a full Redis need refuse that.
COMBINES = "#!lua flags=allow-oom"

_FOLDER = files(__package__)


def _script(start: str, script: str, *modules: str, **others: str) -> Script:
    """`modules`: each after those that it uses. `others`: name -> the module that has it here, after those."""
    named = {name: name for name in modules} | others
    paths = {name: f"{'counts' if name in _COUNTS else 'parts'}/{file}" for name, file in named.items()}
    return Script(assembled(start, _FOLDER, paths, script))


_COUNTS = ("facets", "sums", "histogram", "aggregates")
_FILTERS = ("shard", "query", "changes", "masks", "slices", "rows", "filters")
RANK = _script(READS, "rank", "shard", "query", "changes", "rows", "masks", "ranks", "steps", "answer")
_LISTS = (*_FILTERS, "prepared", "needle", "ranks", "page", "after", *_COUNTS, "steps")
COMBINE = _script(COMBINES, "combine", *_LISTS, "answer")
# The groups themselves instead of a page of them.
SELECT = _script(COMBINES, "combine", *_LISTS, answer="selected")
PREPARE = _script(COMBINES, "prepare", *_FILTERS)
CHANGED = _script(READS, "changed", "shard", "changes")
ROWS = _script(READS, "rows", "shard", "rows")
SELLERS = _script(READS, "sellers", "shard", "rows")
ONE = _script(READS, "one")
END = _script(READS, "end")
REFRESH = _script(READS, "refresh", "shard", "changes")
SINCE = _script(READS, "since", "shard", "changes")
