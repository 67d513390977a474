"""Servers in Docker containers, where a Docker engine answers."""

import gc
import warnings
from functools import cache
from typing import Any

import docker  # type: ignore[import-untyped]
import requests
from docker.errors import DockerException  # type: ignore[import-untyped]

# How long an engine may take to answer, in seconds.
ANSWER_S = 5


@cache
def docker_answers() -> bool:
    with warnings.catch_warnings():
        # Where no engine answers, its client forgets to close the socket.
        warnings.simplefilter("ignore", ResourceWarning)
        answers = _ping()
        gc.collect()
    return answers


def _ping() -> bool:
    try:
        client = docker.from_env(timeout=ANSWER_S)
    except (DockerException, requests.RequestException):
        return False
    client.close()
    # It has asked for the engine's version.
    return True


def container(image: str, inner_port: int, outer_port: int) -> Any:
    """A testcontainers container, not started. The outer port is fixed, so that a restart does not move it."""
    from testcontainers.core.container import DockerContainer

    return DockerContainer(image).with_bind_ports(inner_port, outer_port)


def host(of: Any) -> str:
    """Where its outer port is reached; known before it starts."""
    return str(of.get_docker_client().host())


def kill(running: Any) -> None:
    wrapped = running.get_wrapped_container()
    wrapped.kill()
    wrapped.wait()


def start_again(killed: Any) -> None:
    killed.get_wrapped_container().start()


def run_beside(stopped: Any, image: str, directory: str, command: str) -> None:
    """A shell command, as root, in a directory of one of the volumes of a container."""
    client = docker.from_env()
    try:
        client.containers.run(
            image,
            ["sh", "-c", command],
            entrypoint="",
            user="root",
            working_dir=directory,
            volumes_from=[stopped.get_wrapped_container().id],
            remove=True,
        )
    finally:
        client.close()


def pid(running: Any) -> int:
    """The server's process on the engine's machine."""
    wrapped = running.get_wrapped_container()
    wrapped.reload()
    return int(wrapped.attrs["State"]["Pid"])


def tail(of: Any, lines: int = 40) -> str:
    return str(of.get_wrapped_container().logs(tail=lines).decode(errors="replace"))
