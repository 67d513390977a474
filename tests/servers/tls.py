"""Certificates of one's own, and TLS in front of a server that speaks none."""

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_CHUNK_BYTES = 64 * 1024


class Certificate(NamedTuple):
    """PEM files. The certificate is its own authority."""

    certificate: Path
    key: Path


def self_signed(directory: Path, name: str) -> Certificate:
    """Makes a certificate for 127.0.0.1, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    files = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


class Terminator:
    """Listens with TLS on a port of 127.0.0.1, and passes what comes on to `port`, until the end of the block."""

    def __init__(self, certificate: Certificate, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.present(certificate)
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def present(self, certificate: Certificate) -> None:
        """Presents another one from the next connection on."""
        self._context.load_cert_chain(certificate.certificate, certificate.key)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Ends `accept`, which `close` alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        # An OSError is the end of the block.
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(accepted,), daemon=True).start()

    def _pass_on(self, accepted: socket.socket) -> None:
        # An OSError is a refused handshake, or the end of a connection.
        with (
            suppress(OSError),
            accepted,
            self._context.wrap_socket(accepted, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", self._behind)) as inner,
        ):
            threading.Thread(target=_copy, args=(inner, outer), daemon=True).start()
            _copy(outer, inner)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)
