"""What Redis refuses, and whether that passes by itself. The names are those that Redis' own answers begin with."""

from enum import StrEnum

import redis


class Refusal(StrEnum):
    """AWAY        it cannot be reached, or ended the connection
    TIMEOUT     no answer in time: the result is unknown
    LOADING     reads its data after a restart
    BUSY        is at work on a long script of somebody's
    READONLY    is a replica: a failover is, or was, under way
    MISCONF     cannot save, and is set up to take no writes then
    OOM         is at maxmemory
    NOREPLICAS  has fewer replicas than it is told to have
    NOSCRIPT    has forgotten our script; it is sent again at once
    NOAUTH      wants a password, or another one than ours
    NOPERM      our user may not do that
    MOVED       the slot is on another node (ASK: on its way there)
    TRYAGAIN    some keys of the slot are on their way
    CLUSTERDOWN the cluster, or a slot of it, is served by nobody
    MASTERDOWN  a replica whose master is away
    CLIENTS     has as many clients as it takes
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


# redis-py has a class for some, and takes the first word off their texts. Special cases come before their base.
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
_WORDS = {
    **{refusal.value: refusal for refusal in Refusal if refusal is not Refusal.OTHER},
    **dict.fromkeys(("WRONGPASS", "NOAUTH"), Refusal.NOAUTH),
}


# Told in words alone: by a server that hangs up, and of commands in a script, as Redis 7.0 and later ones word it.
_IN_WORDS = {
    "max number of clients": Refusal.CLIENTS,
    "The user executing the script can't": Refusal.NOPERM,
    "ACL failure in script": Refusal.NOPERM,
    "Script attempted to access a non local key": Refusal.TRYAGAIN,
    "while the cluster is down": Refusal.CLUSTERDOWN,
}


def refusal_of(error: Exception) -> Refusal:
    """Of any error of redis-py's."""
    if isinstance(error.__context__, redis.ReadOnlyError):
        # What redis-py makes of it behind a sentinel: the connection is gone, since it led to a replica.
        return Refusal.READONLY
    found = next((refusal for kind, refusal in _OF_TYPE if isinstance(error, kind)), None)
    if found not in (None, Refusal.AWAY):
        return found
    text = str(error)
    in_words = next((refusal for words, refusal in _IN_WORDS.items() if words in text), None)
    return in_words or found or _WORDS.get(text.split(" ", 1)[0], Refusal.OTHER)
