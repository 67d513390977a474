"""Connections to Kafka: common options of all clients, and the translation of their errors."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaConsumer
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from events.errors import BadLogUrl, LogMissing, LogUnavailable
from events.logs.kafka.url import KafkaSettings

# Time limit of the first connection, in milliseconds; a command at a terminal waits this long.
CONNECT_MS = 5_000
# Time limit of a request, in milliseconds.
REQUEST_MS = 5_000
# The longest pause between attempts to reconnect, in milliseconds.
RECONNECT_MAX_MS = 1_000
# An empty poll is an error after this time without a connection to any broker, in seconds.
DISCONNECTED_MAX_S = 5.0
# Time limit of the second attempts, which find out why the first connections failed, in milliseconds.
EXPLAIN_MS = 1_000

T = TypeVar("T")


def connected(kind: Callable[..., T], settings: KafkaSettings, **options: Any) -> tuple[T, "Brokers"]:
    """Returns a connected client. Raises LogUnavailable, and BadLogUrl for unusable TLS files."""
    _check_names(settings)
    made: list[Brokers] = []

    def client(**config: Any) -> Any:
        made.append(Brokers(config))
        return made[0].client

    tls = _tls_context(settings) if settings.tls else None
    protocol = ("SASL_" if settings.mechanism else "") + ("SSL" if tls else "PLAINTEXT")
    try:
        opened = kind(
            bootstrap_servers=list(settings.servers),
            bootstrap_timeout_ms=CONNECT_MS,
            reconnect_backoff_max_ms=RECONNECT_MAX_MS,
            security_protocol=protocol,
            ssl_context=tls,
            sasl_mechanism=settings.mechanism,
            sasl_plain_username=settings.username,
            sasl_plain_password=settings.password,
            kafka_client=client,
            **options,
        )
    except KafkaError as error:
        # kafka-python leaves a client running whose construction failed.
        raise _unreached(settings, error, made) from error
    return opened, made[0]


class Brokers:
    """The network connections of one client, partly by private attributes of kafka-python."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.client = KafkaConsumer.DEFAULT_CONFIG["kafka_client"](
            **config, socket_connection_setup_timeout_ms=CONNECT_MS
        )
        # kafka-python 3.0 accepts this option, but ignores it. A topic created automatically would have the broker's
        # retention, and lose events.
        self.client.cluster.config["allow_auto_create_topics"] = False
        self._connected_at_s = time.monotonic()
        # Reconnections to any node, each counted before anything is read from the new connection.
        self.reconnections = 0
        self._count_reconnections()

    def check(self, settings: KafkaSettings) -> None:
        """Called after an empty poll. Raises LogUnavailable if no broker can be reached."""
        now_s = time.monotonic()
        if any(connection.connected for connection in list(self.client._manager._conns.values())):
            self._connected_at_s = now_s
        elif now_s - self._connected_at_s > DISCONNECTED_MAX_S:
            unreachable_s = round(now_s - self._connected_at_s)
            raise LogUnavailable(f"{settings}: no broker has been reachable for {unreachable_s} s")

    def _count_reconnections(self) -> None:
        """Counts new connections, by wrapping a method of kafka-python's connection manager, which has no hook."""
        manager = self.client._manager
        get_connection = manager.get_connection
        known: set[Any] = set(manager._conns)
        last: dict[Any, Any] = {}

        def connected_to(node: Any) -> None:
            self.reconnections += node in known
            known.add(node)

        def counted(node: Any, *arguments: Any, **options: Any) -> Any:
            connection = get_connection(node, *arguments, **options)
            if last.get(node) is not connection:
                last[node] = connection
                connection.init_future.add_callback(lambda _: connected_to(node))
            return connection

        manager.get_connection = counted

    def partitions_of(self, topic: str) -> Set[int]:
        """Returns the partitions known from the last metadata; empty for an unknown topic."""
        return self.client.cluster.partitions_for_topic(topic) or set()

    def has_answered(self) -> bool:
        return self.client._manager.broker_version is not None

    def explain(self) -> dict[str, Exception]:
        """Returns why each broker of the URL, as `host:port`, could not be reached: kafka-python retries after any
        error, and reports only a time-out.
        """
        manager = self.client._manager
        brokers = self.client.cluster.bootstrap_brokers()
        found: dict[str, Exception] = {}

        async def connect() -> None:
            deadline_s = time.monotonic() + EXPLAIN_MS / 1000
            for broker in brokers:
                manager.reset_backoff(broker.node_id)
                try:
                    connection = manager.get_connection(broker.node_id, timeout_ms=EXPLAIN_MS)
                    left_ms = max(1000 * (deadline_s - time.monotonic()), 1)
                    await manager.wait_for(connection.init_future, left_ms)
                except (KafkaError, OSError) as error:
                    found[f"{broker.host}:{broker.port}"] = error

        manager.run(connect)
        return found


@contextmanager
def kafka_errors(settings: KafkaSettings) -> Iterator[None]:
    """Turns errors of kafka-python into LogMissing or LogUnavailable."""
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        raise missing(settings) from error
    except KafkaError as error:
        raise _unavailable(settings, error) from error


def missing(settings: KafkaSettings) -> LogMissing:
    return LogMissing(f"there is no topic {settings.topic} at {settings}, or our user may not see it")


def _check_names(settings: KafkaSettings) -> None:
    """Raises LogUnavailable at once if no name of a broker is known: kafka-python would try until its time limit."""
    unknown = []
    for server in settings.servers:
        host, _, port = server.rpartition(":")
        try:
            socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            unknown.append(f"cannot resolve the host name {host}: {error.strerror}")
        else:
            return
    raise LogUnavailable(f"{settings}: {'; '.join(unknown)}")


def _unreached(settings: KafkaSettings, error: KafkaError, made: Sequence["Brokers"]) -> LogUnavailable:
    reasons: dict[str, Exception] = {}
    refused = False
    for brokers in made:
        reasons |= brokers.explain()
        # A broker that answers, and then closes the connection, refuses the credentials: kafka-python often sees the
        # connection end before it reads the reason.
        refused = settings.mechanism is not None and brokers.has_answered()
        brokers.client.close()
    text = "; ".join(f"{server}: {_wording(settings, reason)}" for server, reason in reasons.items()) or str(error)
    if refused or any(
        isinstance(one, SaslAuthenticationFailedError | UnsupportedSaslMechanismError) for one in reasons.values()
    ):
        return LogUnavailable(
            f"{settings}: the broker refuses the user {settings.username!r} with sasl={settings.mechanism}: {text}"
        )
    how = f"sasl={settings.mechanism or 'none'}, tls={'true' if settings.tls else 'false'}"
    return LogUnavailable(f"{settings}: no broker answers ({how}): {text}")


def _wording(settings: KafkaSettings, reason: Exception) -> str:
    text = str(reason).removeprefix("KafkaConnectionError: ")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{text}; trusted are the authorities of {settings.tls_ca or 'this system'}"
    return text


def _unavailable(settings: KafkaSettings, error: Exception) -> LogUnavailable:
    if isinstance(error, AuthorizationError):
        user = f"the user {settings.username!r}" if settings.username else "this client"
        return LogUnavailable(f"{settings}: {user} lacks a permission: {error}")
    return LogUnavailable(f"{settings}: {error}")


def _tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:
        files = ", ".join(filter(None, (settings.tls_ca, settings.tls_cert, settings.tls_key)))
        raise BadLogUrl(f"EVENT_LOG_URL: cannot use {files}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
