"""The sockets of the API, made before anything else: an address that cannot be had is told at once."""

import errno
import os
import socket

from api.errors import ConfigError

# Connections that wait in the kernel until a process takes them.
BACKLOG = 2048

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(host: str, port: int) -> list[socket.socket]:
    """One for each address that the host has: `localhost` may have two. Raises ConfigError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"API_HOST: expected an address of this machine, got {host!r}: {error}") from None
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listeners.append(socket.create_server(address, family=family, backlog=BACKLOG))
        except OSError as error:
            if error.errno in _NOT_HERE:
                # Many hosts files name ::1, with or without IPv6.
                missing = error
                continue
            for listener in listeners:
                listener.close()
            raise _refusal(host, port, error) from None
    if missing and not listeners:
        raise _refusal(host, port, missing)
    return listeners


def _refusal(host: str, port: int, error: OSError) -> ConfigError:
    name = "API_HOST" if error.errno in _NOT_HERE else "API_PORT"
    return ConfigError(f"{name}: cannot listen on {host}:{port} ({os.strerror(error.errno or 0)})")
