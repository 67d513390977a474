import pytest

from projector.health.probe import is_alive
from tests.issuer import Issuer, issuing
from tests.servers.process import free_port


def ports(projector: int | None, api: int | None) -> dict[str, str]:
    named = {"PROJECTOR_PORT": projector, "API_PORT": api}
    return {name: str(port) for name, port in named.items() if port is not None}


def port_of(server: Issuer) -> int:
    return server.server.server_port


def test_a_container_is_alive_if_its_one_service_is() -> None:
    closed = free_port()
    with issuing() as server:
        assert is_alive(ports(port_of(server), closed))
        assert is_alive(ports(closed, port_of(server)))
        assert is_alive(ports(None, port_of(server)))
        assert not is_alive(ports(closed, closed))
        server.status = 503
        assert not is_alive(ports(port_of(server), closed))


def test_a_service_that_hangs_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.health.probe.TIMEOUT_S", 0.05)
    with issuing() as server:
        server.may_answer.clear()
        assert not is_alive(ports(None, port_of(server)))
