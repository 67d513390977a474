"""DATA_DIR: where the embedded instance keeps its log, its Redis and its development secret."""

import os
import secrets
import tempfile
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

# The longest path of a unix socket, in bytes: 104 on macOS, 108 on Linux.
SOCKET_PATH_MAX = 103


class Home:
    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir.absolute()
        self.log = self.path / "orders.db"
        self.redis = self.path / "redis"
        self.output = self.path / "output"
        self.lock = self.path / "up.lock"
        self._secret = self.path / "jwt_secret"

    @property
    def redis_socket(self) -> Path:
        """In the data dir. In the temporary dir where that path is too long for a socket, or not UTF-8, as redis-py
        requires.
        """
        inside = self.redis / "redis.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_MAX and _is_utf8(inside):
            return inside
        name = blake2b(os.fsencode(self.path), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"projector-{os.getuid()}-{name}.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.redis_socket))}"

    def create(self) -> None:
        for folder in (self.path, self.redis, self.output):
            folder.mkdir(parents=True, exist_ok=True)

    def development_secret(self) -> str:
        """Returns the secret for JWTs where no credentials are configured. Creates it with mode 600 on first use."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self._secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._secret.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            secret = secrets.token_urlsafe(32)
            file.write(secret + "\n")
        return secret


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
