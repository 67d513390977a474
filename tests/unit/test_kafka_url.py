"""The URL of a Kafka log: its options, and one-line errors that never show the password."""

import pytest

from events.errors import BadLogUrl
from events.logs.kafka.url import KafkaSettings, kafka_settings

SECRET = "hunter2"


def test_a_minimal_url() -> None:
    assert kafka_settings("kafka://localhost:9092/orders", {}) == KafkaSettings(
        servers=("localhost:9092",), topic="orders", group="projector", partitions=3, replication=-1
    )


def test_all_options() -> None:
    url = (
        "kafka://alice:p%40ss%2Fword@one:9092,two:9093,[::1]:9094/shop.orders_v1?tls=true&tls_ca=/etc/ca.pem"
        "&tls_cert=/etc/c.pem&tls_key=/etc/c%20d.key&sasl=PLAIN&group=g&instance=projector-0&partitions=12&replication=3"
    )
    assert kafka_settings(url, {}) == KafkaSettings(
        servers=("one:9092", "two:9093", "[::1]:9094"),
        topic="shop.orders_v1",
        tls=True,
        tls_ca="/etc/ca.pem",
        tls_cert="/etc/c.pem",
        tls_key="/etc/c d.key",
        mechanism="PLAIN",
        username="alice",
        password="p@ss/word",
        group="g",
        instance="projector-0",
        partitions=12,
        replication=3,
    )


def test_the_default_port_is_kafkas() -> None:
    assert kafka_settings("kafka://one,[::1]/orders", {}).servers == ("one:9092", "[::1]:9092")


ENVIRONMENT = {
    "KAFKA_USERNAME": "bob",
    "KAFKA_PASSWORD": SECRET,
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
    "KAFKA_TLS_CA": "/env/ca.pem",
    "KAFKA_TLS_CERT": "/env/c.pem",
    "KAFKA_TLS_KEY": "/env/c.key",
    "KAFKA_GROUP": "env-group",
    "KAFKA_INSTANCE": "env-instance",
}


def test_the_environment_completes_the_url() -> None:
    assert kafka_settings("kafka://one:9092/orders", ENVIRONMENT) == KafkaSettings(
        servers=("one:9092",),
        topic="orders",
        tls=True,
        tls_ca="/env/ca.pem",
        tls_cert="/env/c.pem",
        tls_key="/env/c.key",
        mechanism="SCRAM-SHA-256",
        username="bob",
        password=SECRET,
        group="env-group",
        instance="env-instance",
    )


def test_the_url_has_priority_over_the_environment() -> None:
    url = "kafka://alice:secret@one:9092/orders?sasl=PLAIN&tls_ca=/url/ca.pem&group=g&instance=i"
    settings = kafka_settings(url, ENVIRONMENT)
    assert (settings.username, settings.password, settings.mechanism) == ("alice", "secret", "PLAIN")
    assert (settings.tls_ca, settings.tls_cert) == ("/url/ca.pem", "/env/c.pem")
    assert (settings.group, settings.instance) == ("g", "i")
    plain = kafka_settings("kafka://one:9092/orders?tls=false", ENVIRONMENT)
    assert (plain.tls, plain.tls_ca, plain.tls_cert, plain.tls_key) == (False, None, None, None)


def test_the_password_may_come_from_the_environment() -> None:
    settings = kafka_settings("kafka://alice@one:9092/orders", {"KAFKA_PASSWORD": SECRET})
    assert (settings.username, settings.password, settings.mechanism) == ("alice", SECRET, "SCRAM-SHA-512")


def test_empty_variables_count_as_unset() -> None:
    empty = dict.fromkeys(ENVIRONMENT, "")
    assert kafka_settings("kafka://one:9092/orders", empty) == kafka_settings("kafka://one:9092/orders", {})


def test_settings_never_show_the_password() -> None:
    settings = kafka_settings(f"kafka://alice:{SECRET}@one:9092/orders", {})
    assert settings.password == SECRET
    assert SECRET not in repr(settings) + str(settings)
    assert str(settings) == "kafka://one:9092/orders"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "expected the scheme kafka://"),
        ("kafka:localhost:9092/orders", "expected the scheme kafka://"),
        ("http://localhost:9092/orders", "expected the scheme kafka://"),
        ("kafka://localhost:9092", "expected the topic as 1 to 249 of a-z A-Z 0-9 . _ -, got nothing"),
        ("kafka://localhost:9092/", "expected the topic as 1 to 249 of a-z A-Z 0-9 . _ -, got nothing"),
        ("kafka://localhost:9092/or ders", "expected the topic as 1 to 249 of a-z A-Z 0-9 . _ -, got 'or ders'"),
        ("kafka://localhost:9092/a/b", "got 'a/b'"),
        ("kafka://localhost:9092/orders#1", "got 'orders#1'"),
        ("kafka://localhost:9092/.", "got '.'"),
        ("kafka://localhost:9092/..", "got '..'"),
        ("kafka://localhost:9092/orders%0a", "got 'orders%0a'"),
        ("kafka://localhost:9092/orders\n", "got 'orders\\n'"),
        (f"kafka://localhost:9092/{'x' * 250}", f"got '{'x' * 40}…'"),
        ("kafka:///orders", "expected brokers as host:port, separated by commas, IPv6 in brackets"),
        ("kafka://one:9092,/orders", "expected brokers as host:port"),
        ("kafka://one two:9092/orders", "expected brokers as host:port"),
        ("kafka://one:/orders", "expected brokers as host:port"),
        ("kafka://one:port/orders", "expected brokers as host:port"),
        ("kafka://::1:9092/orders", "expected brokers as host:port, separated by commas, IPv6 in brackets"),
        ("kafka://[::1/orders", "expected brokers as host:port"),
        ("kafka://[1:2]:9092/orders", "expected brokers as host:port"),
        ("kafka://one:0/orders", "expected a port from 1 to 65535, got 0"),
        ("kafka://one:65536/orders", "expected a port from 1 to 65535, got 65536"),
        ("kafka://one:9092/orders?", None),
        ("kafka://one:9092/orders?acks=all", "expected one of the options tls, tls_ca, tls_cert, tls_key, sasl, group"),
        ("kafka://one:9092/orders?group", "expected a value for the option group, got nothing"),
        ("kafka://one:9092/orders?group=", "expected a value for the option group, got nothing"),
        ("kafka://one:9092/orders?group=a&group=b", "expected the option group once, got it twice"),
        ("kafka://one:9092/orders?instance=a%20b", "expected instance as 1 to 249"),
        ("kafka://one:9092/orders?partitions=0", "expected partitions from 1 to 10000, got '0'"),
        ("kafka://one:9092/orders?partitions=many", "expected partitions from 1 to 10000, got 'many'"),
        ("kafka://one:9092/orders?partitions=10001", "expected partitions from 1 to 10000, got '10001'"),
        ("kafka://one:9092/orders?replication=0", "expected replication from 1 to 32767, got '0'"),
        ("kafka://one:9092/orders?replication=-1", None),
        ("kafka://one:9092/orders?tls=yes", "expected tls to be true or false, got 'yes'"),
        ("kafka://one:9092/orders?tls=false&tls_ca=/ca", "expected no tls_ca together with tls=false"),
        ("kafka://one:9092/orders?tls_key=/key", "expected tls_cert together with tls_key"),
        ("kafka://one:9092/orders?sasl=PLAIN", "expected a user and a password for sasl=PLAIN, got none"),
        ("kafka://a:b@one:9092/orders?sasl=GSSAPI", "expected sasl to be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("kafka://alice@one:9092/orders", "expected a password for the user 'alice', got none"),
        (f"kafka://:{SECRET}@one:9092/orders", "expected a user with the password, got none"),
        (f"kafka://alice:{SECRET}/orders", "expected brokers as host:port"),
        (f"kafka://alice:{SECRET}/x@one:9092/orders", "as %40, %2F and %3F"),
        (f"kafka://alice:x/{SECRET}@one:9092/orders", "as %40, %2F and %3F"),
        (f"kafka://alice:x?{SECRET}@one:9092/orders", "as %40, %2F and %3F"),
        (f"kafka://alice:{SECRET}@one:0/orders?group=", "expected a value for the option group"),
    ],
)
def test_errors_are_one_line(url: str, says: str | None) -> None:
    if says is None:
        assert kafka_settings(url, {})
        return
    with pytest.raises(BadLogUrl) as caught:
        kafka_settings(url, {})
    line = str(caught.value)
    assert says in line
    assert line.startswith("EVENT_LOG_URL: expected ")
    assert "; for example " in line
    assert SECRET not in line
    assert "\n" not in line


def test_examples_are_valid() -> None:
    """URLs given as examples in messages are valid."""
    for wrong in ("x", "kafka://one:9092/", "kafka://::1/orders", "kafka://one:0/orders", "kafka://a:b/c@d/orders"):
        with pytest.raises(BadLogUrl) as caught:
            kafka_settings(wrong, {})
        assert kafka_settings(str(caught.value).rpartition("for example ")[2], {})
