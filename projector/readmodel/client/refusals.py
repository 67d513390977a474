"""The reasons why Redis refuses a command, named after the first word of its error replies."""

import re
import socket
from enum import StrEnum

import redis


class Refusal(StrEnum):
    """AWAY        not reachable, or closed the connection
    TIMEOUT     no answer in time: the result is unknown
    LOADING     loading its data after a restart
    BUSY        running a long script
    READONLY    a replica: a failover is, or was, in progress
    MISCONF     cannot save, and is configured to refuse writes then
    OOM         at maxmemory
    NOREPLICAS  fewer replicas than min-replicas-to-write
    NOSCRIPT    the script is not loaded; it is sent again immediately
    NOAUTH      no password, or a wrong one
    NOPERM      the user lacks the permission
    MOVED       the slot is on another node (ASK: it is migrating there)
    TRYAGAIN    some keys of the slot are migrating
    CLUSTERDOWN the cluster, or a slot of it, has no node
    MASTERDOWN  a replica that is disconnected from its master
    CLIENTS     at maxclients
    OTHER       anything else; its text is in the log
    """

    AWAY = "AWAY"
    TIMEOUT = "TIMEOUT"
    LOADING = "LOADING"
    BUSY = "BUSY"
    READONLY = "READONLY"
    MISCONF = "MISCONF"
    OOM = "OOM"
    NOREPLICAS = "NOREPLICAS"
    NOSCRIPT = "NOSCRIPT"
    NOAUTH = "NOAUTH"
    NOPERM = "NOPERM"
    MOVED = "MOVED"
    ASK = "ASK"
    TRYAGAIN = "TRYAGAIN"
    CLUSTERDOWN = "CLUSTERDOWN"
    MASTERDOWN = "MASTERDOWN"
    CLIENTS = "CLIENTS"
    OTHER = "OTHER"


# redis-py has classes for some, and removes the first word of their texts. Subclasses come before their bases.
_OF_TYPE: tuple[tuple[type[Exception], Refusal], ...] = (
    (redis.exceptions.NoScriptError, Refusal.NOSCRIPT),
    (redis.exceptions.MovedError, Refusal.MOVED),
    (redis.exceptions.AskError, Refusal.ASK),
    (redis.exceptions.TryAgainError, Refusal.TRYAGAIN),
    (redis.exceptions.MasterDownError, Refusal.MASTERDOWN),
    (redis.exceptions.ClusterDownError, Refusal.CLUSTERDOWN),
    (redis.OutOfMemoryError, Refusal.OOM),
    (redis.ReadOnlyError, Refusal.READONLY),
    (redis.exceptions.NoPermissionError, Refusal.NOPERM),
    (redis.AuthenticationError, Refusal.NOAUTH),
    (redis.exceptions.MaxConnectionsError, Refusal.CLIENTS),
    (redis.BusyLoadingError, Refusal.LOADING),
    (redis.TimeoutError, Refusal.TIMEOUT),
    (redis.ConnectionError, Refusal.AWAY),
    (redis.exceptions.RedisClusterException, Refusal.CLUSTERDOWN),
)
_BY_WORD = {
    **{refusal.value: refusal for refusal in Refusal if refusal is not Refusal.OTHER},
    **dict.fromkeys(("WRONGPASS", "NOAUTH"), Refusal.NOAUTH),
}


# Errors without such a word: of refused connections, and of commands in a script, as worded since Redis 7.0.
_BY_TEXT = {
    "max number of clients": Refusal.CLIENTS,
    "The user executing the script can't": Refusal.NOPERM,
    "ACL failure in script": Refusal.NOPERM,
    "Script attempted to access a non local key": Refusal.TRYAGAIN,
    "while the cluster is down": Refusal.CLUSTERDOWN,
}


def refusal_of(error: Exception) -> Refusal:
    """Returns the reason of an error of redis-py."""
    if isinstance(error.__context__, redis.ReadOnlyError):
        # With sentinels, redis-py closes the connection, since it led to a replica, and raises a ConnectionError.
        return Refusal.READONLY
    found = next((refusal for kind, refusal in _OF_TYPE if isinstance(error, kind)), None)
    if found not in (None, Refusal.AWAY):
        return found
    text = str(error)
    by_text = next((refusal for words, refusal in _BY_TEXT.items() if words in text), None)
    return by_text or found or _BY_WORD.get(text.split(" ", 1)[0], Refusal.OTHER)


_UNRESOLVED = re.compile(r"connecting to (.+):\d+\. ")


def text_of(error: BaseException) -> str:
    """Returns the text of an error of redis-py, of the connection, or of a time-out, in one line.

    It has the first word of Redis' reply, such as WRONGPASS, which redis-py removes, and names an unknown host.
    """
    text, unresolved = str(error), error.__context__
    named = _UNRESOLVED.search(text)
    if isinstance(unresolved, socket.gaierror) and named:
        return f"cannot resolve the host name {named[1]}: {unresolved.strerror}"
    word = error.status_code if isinstance(error, redis.RedisError) else None
    return f"{word} {text}" if word and word != "ERR" else text or type(error).__name__
