"""The Lua scripts of the read side, each with the digest by which Redis knows it."""

from hashlib import sha1
from pathlib import Path

# Redis refuses any write in such a script. Known since Redis 7.0.
SHEBANG = "#!lua flags=no-writes\n"

_HERE = Path(__file__).parent


class Script:
    __slots__ = ("digest", "text")

    def __init__(self, *parts: str) -> None:
        self.text = SHEBANG + "\n".join((_HERE / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


SCAN = Script("window", "scan")
SELECT = Script("window", "sides", "select")
ONE = Script("one")
