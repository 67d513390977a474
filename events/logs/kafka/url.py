"""Parses kafka://[user:password@]host:9092,host2:9092/topic[?option=value&...] and KAFKA_...; the URL has priority."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import TypeVar
from urllib.parse import unquote

from events.errors import BadLogUrl

PORT_DEFAULT = 9092
PORT_MAX = 65_535
PARTITIONS_DEFAULT = 3
PARTITIONS_MAX = 10_000
REPLICATION_MAX = 32_767
# Kafka's value for the broker's default.
REPLICATION_OF_BROKER = -1
GROUP_DEFAULT = "projector"
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# The strongest mechanism, which never sends the password.
SASL_DEFAULT = "SCRAM-SHA-512"

_ENVIRONMENT = {
    "sasl": "KAFKA_SASL_MECHANISM",
    "tls_ca": "KAFKA_TLS_CA",
    "tls_cert": "KAFKA_TLS_CERT",
    "tls_key": "KAFKA_TLS_KEY",
    "group": "KAFKA_GROUP",
    "instance": "KAFKA_INSTANCE",
}
_OPTIONS = ("tls", "tls_ca", "tls_cert", "tls_key", "sasl", "group", "instance", "partitions", "replication")
_EXAMPLES = {
    "tls": "tls=true",
    "tls_ca": "tls_ca=/etc/kafka/ca.pem",
    "tls_cert": "tls_cert=/etc/kafka/client.pem",
    "tls_key": "tls_key=/etc/kafka/client.key",
    "sasl": f"sasl={SASL_DEFAULT}",
    "group": f"group={GROUP_DEFAULT}",
    "instance": "instance=projector-0",
    "partitions": "partitions=12",
    "replication": "replication=3",
}
_SERVER = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,9}))?"
)
_NAME = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """`servers`: `host:port`, with brackets around an IPv6 host. Paths are as configured.

    `replication` -1 is the broker's default. Without `mechanism` there is no authentication except by TLS.
    """

    servers: tuple[str, ...]
    topic: str
    tls: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    group: str = GROUP_DEFAULT
    instance: str | None = None
    partitions: int = PARTITIONS_DEFAULT
    replication: int = REPLICATION_OF_BROKER

    def __str__(self) -> str:
        """The URL without secrets, for messages."""
        return f"kafka://{','.join(self.servers)}/{self.topic}"


def kafka_settings(url: str, environment: Mapping[str, str]) -> KafkaSettings:
    """Raises BadLogUrl, whose text never holds the password."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() != "kafka":
        raise _bad("expected the scheme kafka://", "kafka://localhost:9092/orders")
    location, _, query = rest.partition("?")
    authority, _, topic = location.partition("/")
    # An unescaped password may have been split here: the message must show none of it.
    if "@" in topic + query:
        raise _bad(
            "expected @, / and ? in the user, password and options as %40, %2F and %3F",
            "kafka://user:pass%2Fword@localhost:9092/orders",
        )
    userinfo, _, hosts = authority.rpartition("@")
    given = _options(query)
    options = {option: environment[name] for option, name in _ENVIRONMENT.items() if environment.get(name)} | given
    mechanism, username, password = _credentials(userinfo, options.get("sasl"), environment)
    tls = _tls(options, given)
    return KafkaSettings(
        servers=tuple(_server(host) for host in hosts.split(",")),
        topic=_name(topic, "the topic", "kafka://localhost:9092/orders"),
        tls=tls,
        tls_ca=options.get("tls_ca") if tls else None,
        tls_cert=options.get("tls_cert") if tls else None,
        tls_key=options.get("tls_key") if tls else None,
        mechanism=mechanism,
        username=username,
        password=password,
        group=options.get("group", GROUP_DEFAULT),
        instance=_if_given(options, "instance", lambda name: _name(name, "instance", _EXAMPLES["instance"])),
        partitions=_number(options, "partitions", 1, PARTITIONS_MAX) or PARTITIONS_DEFAULT,
        replication=_number(options, "replication", REPLICATION_OF_BROKER, REPLICATION_MAX) or REPLICATION_OF_BROKER,
    )


def is_topic(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        option, _, value = part.partition("=")
        if option not in _OPTIONS:
            raise _bad(f"expected one of the options {', '.join(_OPTIONS)}, got {option!r}", "?group=projector")
        if option in options:
            raise _bad(f"expected the option {option} once, got it twice", f"?{_EXAMPLES[option]}")
        if not value:
            raise _bad(f"expected a value for the option {option}, got nothing", f"?{_EXAMPLES[option]}")
        options[option] = unquote(value)
    return options


def _server(text: str) -> str:
    # The message does not show the text: it may be a password, if the host is missing.
    match = _SERVER.fullmatch(text)
    if not match or not _is_host(match["host"]):
        raise _bad("expected brokers as host:port, separated by commas, IPv6 in brackets", "kafka://[::1]:9092/orders")
    port = int(match["port"] or PORT_DEFAULT)
    if not 1 <= port <= PORT_MAX:
        raise _bad(f"expected a port from 1 to {PORT_MAX}, got {port}", "kafka://localhost:9092/orders")
    return f"{match['host']}:{port}"


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return True
    try:
        return bool(IPv6Address(host[1:-1]))
    except AddressValueError:
        return False


def _credentials(
    userinfo: str, mechanism: str | None, environment: Mapping[str, str]
) -> tuple[str | None, str | None, str | None]:
    user, _, secret = userinfo.partition(":")
    username = unquote(user) or environment.get("KAFKA_USERNAME") or None
    password = unquote(secret) or environment.get("KAFKA_PASSWORD") or None
    if mechanism is not None and mechanism not in SASL_MECHANISMS:
        raise _bad(f"expected sasl to be one of {', '.join(SASL_MECHANISMS)}, got {mechanism!r}", _EXAMPLES["sasl"])
    example = "kafka://user:password@localhost:9092/orders, or KAFKA_USERNAME and KAFKA_PASSWORD"
    if username and not password:
        raise _bad(f"expected a password for the user {username!r}, got none", example)
    if password and not username:
        raise _bad("expected a user with the password, got none", example)
    if mechanism and not username:
        raise _bad(f"expected a user and a password for sasl={mechanism}, got none", example)
    return (mechanism or SASL_DEFAULT) if username else None, username, password


def _tls(options: Mapping[str, str], given: Mapping[str, str]) -> bool:
    """A certificate enables TLS; tls=false in the URL overrides certificates of the environment."""
    tls = options.get("tls")
    if tls not in (None, "true", "false"):
        raise _bad(f"expected tls to be true or false, got {tls!r}", _EXAMPLES["tls"])
    if tls == "false":
        conflicting = [option for option in ("tls_ca", "tls_cert", "tls_key") if option in given]
        if conflicting:
            raise _bad(
                f"expected no {conflicting[0]} together with tls=false", f"?tls=true&{_EXAMPLES[conflicting[0]]}"
            )
        return False
    if "tls_key" in options and "tls_cert" not in options:
        raise _bad("expected tls_cert together with tls_key", f"?{_EXAMPLES['tls_cert']}&{_EXAMPLES['tls_key']}")
    return tls == "true" or any(option in options for option in ("tls_ca", "tls_cert"))


def _name(text: str, what: str, example: str) -> str:
    if not _NAME.fullmatch(text):
        raise _bad(f"expected {what} as 1 to 249 of a-z A-Z 0-9 . _ -, got {_shown(text)}", example)
    return text


def _number(options: Mapping[str, str], option: str, least: int, most: int) -> int | None:
    def number(text: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,6}", text) and least <= int(text) <= most and int(text) != 0:
            return int(text)
        raise _bad(f"expected {option} from {max(least, 1)} to {most}, got {_shown(text)}", _EXAMPLES[option])

    return _if_given(options, option, number)


def _if_given(options: Mapping[str, str], option: str, parse: Callable[[str], T]) -> T | None:
    return parse(options[option]) if option in options else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…") if text else "nothing"


def _bad(problem: str, example: str) -> BadLogUrl:
    return BadLogUrl(f"EVENT_LOG_URL: {problem}; for example {example}")
