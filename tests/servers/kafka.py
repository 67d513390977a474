"""Real Kafka brokers: a given one, in Docker, or Apache Kafka from Maven Central under the Java of this machine."""

import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from events.errors import LogMissing, LogUnavailable
from events.logs.kafka.log import KafkaLog
from events.logs.kafka.url import kafka_settings
from tests.servers import docker
from tests.servers.process import Daemon, ServerFailed, free_port, wait_until
from tests.servers.tls import Certificate

IMAGE = "apache/kafka:4.1.0"
VERSION = "4.3.1"
JAVA_MIN = 17
# Time limits of the download, and of a broker's start, in seconds.
DOWNLOAD_S = 300
READY_S = 60.0
MISSING_HOME = f"there is no Kafka to start: start Docker, or install Java {JAVA_MIN} and Maven"
MISSING = f"there is no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or start Docker, or install Java {JAVA_MIN} and Maven"

_POM = Path(__file__).with_name("kafka-pom.xml")
# A small heap and the cheapest compiler: the broker must start fast, and leave the processors to the tests.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:PLAINTEXT",
    "inter.broker.listener.name": "INNER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "false",
}
# A volume of the image, and the data's folder in it, or in the directory of a server with Java.
_VOLUME = "/var/lib/kafka/data"
_DATA = "data"


@dataclass(frozen=True)
class KafkaHome:
    """A source of Kafka brokers: a given one (`bootstrap`), Docker (`image`), otherwise Java."""

    name: str
    bootstrap: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        return self.name


def kafka_home(environment: Mapping[str, str]) -> KafkaHome | None:
    given = environment.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        return KafkaHome(f"given, at {given}", bootstrap=given)
    if docker.docker_answers():
        return KafkaHome(f"docker, {IMAGE}", image=IMAGE)
    if shutil.which("mvn") and _java_version() >= JAVA_MIN:
        return KafkaHome(f"Apache Kafka {VERSION} from Maven Central, Java {_java_version()}")
    return None


def _java_version() -> int:
    java = shutil.which("java")
    if java is None:
        return 0
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', version)
    return int(match[1]) if match else 0


class KafkaServer:
    """An empty broker, removed after the `with` block.

    `settings`: for server.properties. `login`: a `user:password` that PLAIN accepts, if they require credentials.
    `certificate`: of its TLS, without which it has none.
    `kill` sends SIGKILL; `restart` starts it on the same ports with the same files. `backup` and `restore` copy its
    files, while it is killed.
    """

    def __init__(
        self,
        home: KafkaHome,
        settings: Mapping[str, str] | None = None,
        login: str | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        assert home.bootstrap is None, "a given broker is not ours to start"
        self.home = home
        self._settings = _SETTINGS | dict(settings or {}) | (_tls(certificate) if certificate else {})
        self._directory = tempfile.TemporaryDirectory(prefix="kafka-")
        self._container: Any = None
        self._daemon: Daemon | None = None
        port = free_port()
        if home.image:
            self._container = docker.container(home.image, 9092, port)
            self.bootstrap = f"{docker.host(self._container)}:{port}"
        else:
            self.bootstrap = f"127.0.0.1:{port}"
        options = [*(["sasl=PLAIN"] if login else []), *([f"tls_ca={certificate.certificate}"] if certificate else [])]
        self.url = f"kafka://{f'{login}@' if login else ''}{self.bootstrap}/nobody?{'&'.join(options)}"

    def __enter__(self) -> Self:
        try:
            if self.home.image:
                self._start_container()
            else:
                self._start_java()
        except ServerFailed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A clean shutdown takes seconds, and its files are deleted anyway.
        if self._daemon:
            self._daemon.kill()
            self._daemon.stop()
        elif self._container:
            self._container.stop()
        self._directory.cleanup()

    @property
    def pid(self) -> int:
        if self._daemon and self._daemon.process:
            return self._daemon.process.pid
        return docker.pid(self._container)

    def kill(self) -> None:
        if self._daemon:
            self._daemon.kill()
        else:
            docker.kill(self._container)

    def restart(self) -> None:
        """Raises ServerFailed."""
        if self._daemon:
            self._daemon.start(lambda: _answers(self.url), READY_S)
        else:
            docker.start_again(self._container)
            self._wait_for_container()

    def backup(self) -> None:
        self._run(f"rm -rf backup && cp -a {_DATA} backup")

    def restore(self) -> None:
        self._run(f"rm -rf {_DATA} && cp -a backup {_DATA}")

    def _run(self, command: str) -> None:
        if self.home.image:
            docker.run_beside(self._container, self.home.image, _VOLUME, command)
        else:
            subprocess.run(["sh", "-c", command], cwd=self._directory.name, check=True)

    def _start_java(self) -> None:
        directory = Path(self._directory.name)
        outer = self.bootstrap
        inner, controller = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        properties = directory / "server.properties"
        settings = self._settings | {
            "listeners": f"OUTER://{outer},INNER://{inner},CONTROLLER://{controller}",
            "advertised.listeners": f"OUTER://{outer},INNER://{inner}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(directory / _DATA),
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        java = [shutil.which("java") or "java", *_JVM, "-cp", f"{kafka_libraries()}/*"]
        formatted = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "--standalone", _cluster_id(), "-c", str(properties)],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode:
            raise ServerFailed(f"StorageTool format: {formatted.stdout}{formatted.stderr}")
        self._daemon = Daemon([*java, "kafka.Kafka", str(properties)], directory)
        self._daemon.start(lambda: _answers(self.url), READY_S)

    def _start_container(self) -> None:
        settings = self._settings | {
            "listeners": "OUTER://0.0.0.0:9092,INNER://127.0.0.1:9093,CONTROLLER://127.0.0.1:9094",
            "advertised.listeners": f"OUTER://{self.bootstrap},INNER://127.0.0.1:9093",
            "controller.quorum.voters": "1@127.0.0.1:9094",
            "log.dirs": f"{_VOLUME}/{_DATA}",
        }
        # The image takes server.properties as variables: KAFKA_NODE_ID for node.id.
        for name, value in settings.items():
            self._container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        self._container.start()
        self._wait_for_container()

    def _wait_for_container(self) -> None:
        try:
            wait_until(lambda: _answers(self.url), READY_S, str(self.home))
        except TimeoutError as error:
            raise ServerFailed(f"{error}\n{docker.tail(self._container)}") from None


def new_topic(bootstrap: str, partitions: int) -> str:
    """Creates a topic with the projector's settings. Returns its URL, with a new group."""
    name = f"orders-{uuid.uuid4().hex[:12]}"
    url = f"kafka://{bootstrap}/{name}?group={name}&partitions={partitions}"
    with KafkaLog(kafka_settings(url, {})) as log:
        log.create()
    return url


def kafka_libraries() -> Path:
    """Returns the folder of the broker's jars, downloaded once per user. Raises ServerFailed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "order-group-projector"
    libraries = cache / f"kafka-{VERSION}"
    if libraries.exists():
        return libraries
    cache.mkdir(parents=True, exist_ok=True)
    # Downloaded beside it, and moved when complete: another run may do the same.
    with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as download:
        jars = Path(download) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"the download of Kafka took more than {DOWNLOAD_S} s") from None
        if done.returncode:
            raise ServerFailed(f"the download of Kafka failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        try:
            jars.rename(libraries)
        except OSError:
            if not libraries.exists():
                raise
    return libraries


def _cluster_id() -> str:
    """Returns the option with a new cluster id: 16 random bytes in URL-safe base64."""
    return "--cluster-id=" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _tls(certificate: Certificate) -> dict[str, str]:
    # Java reads \n in a file of properties as the end of a line.
    chain, key = (file.read_text().replace("\n", "\\n") for file in certificate)
    return {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:SSL",
        "listener.name.outer.ssl.keystore.type": "PEM",
        "listener.name.outer.ssl.keystore.certificate.chain": chain,
        "listener.name.outer.ssl.keystore.key": key,
    }


def _answers(url: str) -> bool:
    settings = kafka_settings(url, {})
    host, _, port = settings.servers[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    with KafkaLog(settings) as log:
        try:
            log.partitions()
        except LogMissing:
            return True
        except LogUnavailable:
            return False
    return True
