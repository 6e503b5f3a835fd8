"""TLS in front of servers whose builds have none: real handshakes towards the real server."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""What a Postgres client sends first when it wants TLS."""


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


class Authority:
    """Issues certificates for 127.0.0.1."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self._sign(self._name, self._key, authority=True))

    def issue(self, name: str, address: str = "127.0.0.1") -> Pair:
        """Write a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(self._sign(subject, key, address=address))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        address: str = "127.0.0.1",
    ) -> bytes:
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(names, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextmanager
def in_front_of(
    port: int, pair: Pair, *, clients: Path | None = None, postgres: bool = False
) -> Iterator[int]:
    """Terminate TLS before a server on *port*; yields the port to connect to.

    Args:
        port: Of the real server.
        pair: What is shown to clients.
        clients: Clients must show a certificate of this authority.
        postgres: Answer the question by which a Postgres client asks for TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_accept, args=(listener, context, port, postgres), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:  # noqa: FBT001 - a thread's arguments
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, context, port, postgres), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:  # noqa: FBT001 - a thread's arguments
    with client, suppress(OSError):
        if postgres:
            if client.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
                return
            client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            _both_ways(secure, server)


def _both_ways(secure: ssl.SSLSocket, server: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(server.recv, secure.sendall, secure), daemon=True)
    back.start()
    _pump(secure.recv, server.sendall, server)
    back.join()


def _pump(read: Callable[[int], bytes], write: Callable[[bytes], None], end: socket.socket) -> None:
    with suppress(OSError):
        while chunk := read(65_536):
            write(chunk)
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
