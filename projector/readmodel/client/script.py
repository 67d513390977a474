"""A Lua script, with the digest by which Redis knows it."""

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
        """`names`: the keys that the script names, all of the shard `keys`. Behind them comes one that never exists."""
        return ("EVALSHA", self.digest, str(len(names) + 1), *names, keys.absent, *arguments)
