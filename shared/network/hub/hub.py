"""The office's hub as a folder: `server/` is all that the Redis server sees, `office/` is what it must never see.

`server/` holds redis.conf, users.acl, the certificate and the data; `office/` the root keys and the office's password.
"""

import base64
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from redis.asyncio import Redis

from shared.network.hub.access import OFFICE, Access
from shared.network.hub.acl import acl_file
from shared.network.hub.on_redis import connect_hub
from shared.network.hub.tls import Certificates
from shared.network.identity import RandomBytes

PLAIN_PORT = 6379
TLS_PORT = 6380
_SEED = 32

_CONF = """\
# The hub of the network. Written by `album hub init`; `album hub acl` writes the users beside it.
bind {bind}
port {plain}
dir {at}/data
aclfile {at}/users.acl
databases 1
appendonly yes
appendfsync everysec
save ""
maxmemory {memory}
# A full hub refuses to write; it never forgets what somebody has not read yet.
maxmemory-policy noeviction
proto-max-bulk-len 1mb
client-query-buffer-limit 16mb
maxclients 1000
tcp-keepalive 60
"""
_TLS_CONF = """\
tls-port {port}
tls-cert-file {at}/tls/server.crt
tls-key-file {at}/tls/server.key
tls-ca-cert-file {at}/tls/ca.crt
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
"""


@dataclass(frozen=True, slots=True)
class HubFolder:
    """Where the office keeps its hub."""

    path: Path

    @property
    def server(self) -> Path:
        """Give the part that is mounted into the server's container."""
        return self.path / "server"

    @property
    def conf(self) -> Path:
        """Give the server's settings."""
        return self.server / "redis.conf"

    @property
    def acl(self) -> Path:
        """Give the file of access rules."""
        return self.server / "users.acl"

    @property
    def ca(self) -> Path:
        """Give the certificate that members trust; it is there only with TLS."""
        return self.server / "tls" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """Give the server's certificate; it is there only with TLS."""
        return self.server / "tls" / "server.crt"

    @property
    def ca_key(self) -> Path:
        """Give the authority's key; it is there only where the authority was made here."""
        return self.office / "ca.key"

    @property
    def office(self) -> Path:
        """Give the part that only the office reads."""
        return self.path / "office"

    def password(self) -> str:
        """Give the office's password on the hub."""
        kept: dict[str, str] = json.loads((self.office / "account.json").read_text("utf-8"))
        return kept["password"]

    def password_sha256(self) -> bytes:
        """Give the hash of the office's password, as the access rules hold it."""
        return sha256(self.password().encode()).digest()

    @property
    def is_made(self) -> bool:
        """Tell whether anything lies there; empty folders are what a container mounts."""
        return any(path.is_file() for path in self.path.rglob("*"))

    def root_seeds(self) -> list[bytes]:
        """Give the seeds of the root keys that lie here, in their order; others may lie on other machines."""
        return [bytes.fromhex(path.read_text("utf-8")) for path in sorted(self.office.glob("root-*.key"))]


def make_hub(
    folder: HubFolder,
    *,
    random: RandomBytes,
    certificates: Certificates | None = None,
    roots: int = 1,
    bind: str = "0.0.0.0",  # noqa: S104 - a hub is there to be reached; nobody comes in without a user of its own
    port: int | None = None,
    at: str | None = None,
    memory: str = "1gb",
) -> None:
    """Write a new hub with nobody in it but the office; raises FileExistsError rather than lose a root key.

    `at` is where the server sees `server/`, such as the folder that is mounted into its container.
    """
    if folder.is_made:
        raise FileExistsError(f"{folder.path} is not empty; a hub's root keys are never overwritten")
    for path, mode in ((folder.server / "data", 0o755), (folder.office, 0o700)):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    password = base64.urlsafe_b64encode(random(_SEED)).decode().rstrip("=")
    account = json.dumps({"user": OFFICE, "password": password})
    _write(folder.office / "account.json", account.encode(), 0o600)
    for number in range(1, roots + 1):
        _write(folder.office / f"root-{number}.key", random(_SEED).hex().encode(), 0o600)
    if certificates is not None:
        _write_certificates(folder, certificates)
    seen = at or str(folder.server.resolve())
    conf = redis_conf(seen, tls=certificates is not None, bind=bind, port=port, memory=memory)
    _write(folder.conf, conf.encode(), 0o644)
    write_acl(folder, Access((), folder.password_sha256()))


def open_hub(folder: HubFolder, address: str = "", ca: str = "") -> Redis:
    """Open the hub as the office; `ca` is who signed its certificate, a file or PEM.

    Left empty, both are what the folder says: a hub on this machine, and the authority that was made for it.
    """
    return connect_hub(address or address_of(folder), OFFICE, folder.password(), authority(folder, ca))


def authority(folder: HubFolder, ca: str = "") -> str | None:
    """Give who signed the hub's certificate as PEM; `ca` is a file or PEM, else it is what lies in the folder.

    None where neither is there: then the authorities of the system count.
    """
    if "BEGIN CERTIFICATE" in ca:
        return ca
    path = Path(ca) if ca else folder.ca
    return path.read_text("utf-8") if ca or path.exists() else None


def address_of(folder: HubFolder) -> str:
    """Give the address of a hub that runs on this machine, from its settings."""
    conf = folder.conf.read_text("utf-8")
    tls, plain = (re.search(rf"^{name} (\d+)$", conf, re.MULTILINE) for name in ("tls-port", "port"))
    if tls is not None:
        return f"rediss://localhost:{tls[1]}"
    return f"redis://localhost:{plain[1] if plain else PLAIN_PORT}"


def redis_conf(at: str, *, tls: bool, bind: str, port: int | None = None, memory: str = "1gb") -> str:
    """Write the settings of the server; with TLS there is no other port."""
    plain = 0 if tls else port or PLAIN_PORT
    conf = _CONF.format(at=at, bind=bind, plain=plain, memory=memory)
    return conf + (_TLS_CONF.format(at=at, port=port or TLS_PORT) if tls else "")


def write_acl(folder: HubFolder, access: Access) -> bool:
    """Write the file of access rules, at once or not at all; False where it says the same already."""
    rules = acl_file(access).encode()
    if folder.acl.exists() and folder.acl.read_bytes() == rules:
        return False
    write_at_once(folder.acl, rules)
    return True


def write_at_once(path: Path, content: bytes) -> None:
    """Write a file that the server reads, at once or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    _write(temporary, content, 0o644)
    temporary.replace(path)


def _write_certificates(folder: HubFolder, certificates: Certificates) -> None:
    tls = folder.server / "tls"
    tls.mkdir(mode=0o755)
    parts: Sequence[tuple[Path, bytes | None, int]] = (
        (folder.ca, certificates.ca, 0o644),
        (folder.certificate, certificates.certificate, 0o644),
        (tls / "server.key", certificates.key, 0o600),
        (folder.ca_key, certificates.ca_key, 0o600),
    )
    for path, content, mode in parts:
        if content is not None:
            _write(path, content, mode)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
