"""A Lua script and its SHA-1 digest, for EVALSHA."""

from collections.abc import Sequence
from hashlib import sha1

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
