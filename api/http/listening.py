"""Opens the listening sockets, before anything else starts: a wrong address is reported immediately."""

import errno
import os
import socket

from api.errors import ConfigError

# Connections that wait in the kernel to be accepted.
BACKLOG = 2048

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(host: str, port: int) -> list[socket.socket]:
    """Returns a socket for each address of the host: `localhost` may have two. Raises ConfigError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"API_HOST: expected an address of this machine, found {host!r}: {error}") from None
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listeners.append(socket.create_server(address, family=family, backlog=BACKLOG))
        except OSError as error:
            if error.errno in _NOT_HERE:
                # /etc/hosts often has ::1 on machines without IPv6.
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
