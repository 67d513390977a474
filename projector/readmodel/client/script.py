"""A Lua script, put together from modules, and its SHA-1 digest, for EVALSHA."""

from collections.abc import Mapping, Sequence
from hashlib import sha1
from importlib.resources.abc import Traversable

from projector.readmodel.client.batches import Command
from projector.readmodel.schema.keys import Keys


class Script:
    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Keys, names: Sequence[str], *arguments: str | bytes) -> Command:
        """Returns the command. `names`: the keys that the script declares, of the shard `keys`, without `absent`."""
        return ("EVALSHA", self.digest, str(len(names) + 1), *names, keys.absent, *arguments)


def assembled(start: str, folder: Traversable, modules: Mapping[str, str], script: str) -> str:
    """Returns `start`, then each module with a scope of its own, then the script.

    `modules`: the name that the script and later modules use -> the file, without `.lua`, in `folder`. A module ends
    with `return`, and what it returns is a local of that name.
    """
    parts = [start]
    for name, file in modules.items():
        parts.append(f"local {name} = (function()\n{_text(folder, file)}end)()")
    return "\n".join([*parts, _text(folder, script)])


def _text(folder: Traversable, file: str) -> str:
    return folder.joinpath(file + ".lua").read_text(encoding="utf-8")
