"""Servers in Docker containers."""

import gc
import warnings
from functools import cache
from typing import Any

import docker  # type: ignore[import-untyped]
import requests
from docker.errors import DockerException  # type: ignore[import-untyped]

# Time limit of an engine's answer, in seconds.
ANSWER_S = 5


@cache
def docker_answers() -> bool:
    with warnings.catch_warnings():
        # Without an engine, the client does not close its socket.
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
    # from_env has read the engine's version.
    return True


def container(image: str, inner_port: int, outer_port: int) -> Any:
    """Returns a container, not started. The outer port is fixed, and stays the same after a restart."""
    from testcontainers.core.container import DockerContainer

    return DockerContainer(image).with_bind_ports(inner_port, outer_port)


def host(of: Any) -> str:
    """Returns the host of the outer port; known before the container starts."""
    return str(of.get_docker_client().host())


def kill(running: Any) -> None:
    wrapped = running.get_wrapped_container()
    wrapped.kill()
    wrapped.wait()


def start_again(killed: Any) -> None:
    killed.get_wrapped_container().start()


def run_beside(stopped: Any, image: str, directory: str, command: str) -> None:
    """Runs a shell command, as root, in a directory of a stopped container's volumes."""
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
    """Returns the id of the server's process on the engine's host."""
    wrapped = running.get_wrapped_container()
    wrapped.reload()
    return int(wrapped.attrs["State"]["Pid"])


def tail(of: Any, lines: int = 40) -> str:
    return str(of.get_wrapped_container().logs(tail=lines).decode(errors="replace"))
