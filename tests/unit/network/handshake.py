"""A handshake over TLS between a server with a certificate and a client who trusts an authority."""

import socket
import ssl
import threading
from pathlib import Path

from shared.network.hub.tls import Certificates


def shake_hands(server: Certificates, ca: bytes, name: str, folder: Path) -> str | None:
    """Let a client who trusts `ca` connect to a server by a name; give the TLS version, raise where it refuses."""
    (folder / "crt").write_bytes(server.certificate)
    (folder / "key").write_bytes(server.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "crt", folder / "key")
    one, other = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(one, server_side=True) as line:
                line.recv(1)
        except (ssl.SSLError, OSError):
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with other, ssl.create_default_context(cadata=ca.decode()).wrap_socket(other, server_hostname=name) as line:
            line.send(b"x")
            return line.version()
    finally:
        thread.join()
