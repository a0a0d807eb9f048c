"""The hub of a network on this machine: made by `album hub init`, run by the embedded Redis.

The embedded server knows no TLS, so the lines end it, as a proxy before a hub would.
"""

import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deploy.nodes.line import Line
from shared.embedded.ports import free_port
from shared.embedded.redis import find_binary
from shared.network.hub.tls import make_certificates

_PATIENCE = 20.0


@dataclass
class Hub:
    """A hub in a folder, and a line with TLS to it for each node."""

    folder: Path
    port: int = field(default_factory=free_port)
    lines: dict[str, Line] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    hosts: dict[str, str] = field(default_factory=dict)

    def make(self) -> None:
        """Write its settings, certificates and keys."""
        album = Path(sys.executable).with_name("album")
        words = ["hub", "init", "--dir", str(self.folder), "--port", str(self.port), "--bind", "127.0.0.1"]
        subprocess.run([str(album), *words], check=True, capture_output=True)
        made = make_certificates(["localhost", "127.0.0.1", *self.hosts.values()], datetime.now(UTC))
        for path, content in ((self.ca, made.ca), (self.certificate, made.certificate + (made.key or b""))):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    @property
    def ca(self) -> Path:
        """Give the certificate that the nodes trust."""
        return self.folder / "server" / "tls" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """Give the file with the lines' certificate and its key."""
        return self.folder / "line.pem"

    def start(self) -> None:
        """Start the server and wait until it listens."""
        conf = self.folder / "server" / "redis.conf"
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen([str(find_binary().path), str(conf)], stdout=log, stderr=log)
        until = time.monotonic() + _PATIENCE
        while not _listens(self.port):
            if time.monotonic() > until:
                raise SystemExit(f"the hub does not start: see {self.folder / 'hub.log'}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def line(self, node: str) -> Line:
        """Give the line of a node, laid when it is first asked for."""
        if node not in self.lines:
            self.lines[node] = Line(self.port, self.certificate, self.hosts.get(node, "127.0.0.1"))
            self.lines[node].start()
        return self.lines[node]

    def stop(self) -> None:
        """End the server and the lines."""
        for line in self.lines.values():
            line.stop()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(15)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
