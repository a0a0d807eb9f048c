"""Free ports on the loopback interface."""

import secrets
import socket

HOST = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on, below the range the system gives to outgoing connections."""
    # A client that retries a dead port inside that range is one day given this very port as its own,
    # connects to itself, and the server can never come back.
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        if is_free(port):
            return port
