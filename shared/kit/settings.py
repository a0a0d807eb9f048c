"""The environment variables that every service understands; a secret may also come as a file (`ALBUM_SECRET_FILE`)."""

import os
import socket
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PORTS = {"members": 8101, "courses": 8102, "events": 8103, "notifications": 8104}
_DATABASES = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+asyncpg")
_REDIS = ("redis", "rediss", "unix")


class Settings(BaseSettings):
    """What a service is told by its operator; `{service}` and `{port}` in an address are filled in."""

    model_config = SettingsConfigDict(env_prefix="ALBUM_", extra="ignore", env_ignore_empty=True)

    database: str = "sqlite+aiosqlite:///var/{service}.db"
    redis: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int | None = None
    ports: dict[str, int] = PORTS
    office: str = "office"
    hub: str = ""
    identities: Path = Path("var/network")
    hosted: str = "*"
    secret: SecretStr = SecretStr("")
    public_url: str = "http://127.0.0.1:{port}"
    services: str = "http://127.0.0.1:{port}"
    log_level: str = "INFO"
    offer_time: timedelta = timedelta(hours=48)
    own_days: int = 14
    pub_days: int = 90
    box_days: int = 90
    rate: float = Field(50.0, gt=0)
    burst: int = Field(200, ge=1)
    byte_rate: float = Field(4.0 * 1024 * 1024, gt=0)
    byte_burst: int = Field(32 * 1024 * 1024, ge=1)
    listeners: int = Field(100, ge=1)
    holder: str = ""

    @field_validator("database")
    @classmethod
    def _is_database(cls, url: str) -> str:
        """Refuse what is no address of a database, without saying it: a password may stand in it."""
        scheme, found, _ = url.partition("://")
        try:
            fits = bool(found) and scheme in _DATABASES and bool(sa.make_url(url))
        except (ValueError, sa.exc.ArgumentError):
            fits = False
        if not fits:
            raise ValueError("must be an address such as postgresql://user:password@host/album_{service}")
        return url

    @field_validator("redis", "hub")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        """Refuse what is no address of a Redis, without saying it; none at all is allowed for a hub."""
        if url and not is_redis_address(url):
            raise ValueError("must be an address such as redis://host:6379/0 or rediss://host:6380")
        return url

    def database_of(self, service: str) -> str:
        """Give the database URL of a service; `postgresql://` means asyncpg, `sqlite://` means aiosqlite."""
        url = self.database.replace("{service}", service)  # not `format`: a password may hold braces
        for bare, full in (("postgresql://", "postgresql+asyncpg://"), ("sqlite://", "sqlite+aiosqlite://")):
            if url.startswith(bare):
                url = full + url.removeprefix(bare)
        return url

    def port_of(self, service: str) -> int:
        """Give the port on which a service listens."""
        return self.port or self.ports[service]

    def internal_url(self, service: str) -> str:
        """Give the address at which the other services of the node find a service."""
        return self.services.format(service=service, port=self.ports[service])

    def link_url(self, service: str) -> str:
        """Give the address at which participants reach the small pages of a service."""
        return self.public_url.format(service=service, port=self.ports[service])

    def holder_of(self, service: str) -> str:
        """Name this process for leases: a restart on the same host and port follows itself at once."""
        return self.holder or f"{socket.gethostname()}:{self.port_of(service)}"

    def answers_for(self, institution: str) -> bool:
        """Tell whether what is written to an institution is read here.

        With a hub most institutions live elsewhere: `*` then means those whose keys lie on this node, for two nodes
        that answer in one name would give two answers.
        """
        if self.hosted != "*" or not self.hub:
            return self.hosts(institution)
        return (self.identities / f"{institution}.json").exists()

    def hosts(self, institution: str) -> bool:
        """Tell whether the node hosts an institution; `*` stands for all it hears of."""
        return self.hosted == "*" or institution in self.hosted.split(",")


def is_redis_address(url: str) -> bool:
    """Tell whether a text is an address at which a Redis may be: redis://, rediss:// or unix://."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return url.partition("://")[0] in _REDIS and "://" in url and port != 0


def secrets_from_files() -> None:
    """Take `ALBUM_X` from the file that `ALBUM_X_FILE` names, as Docker and systemd hand out secrets."""
    for name, path in list(os.environ.items()):
        if name.startswith("ALBUM_") and name.endswith("_FILE"):
            os.environ.setdefault(name.removesuffix("_FILE"), Path(path).read_text("utf-8").strip())
