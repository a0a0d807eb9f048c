"""Redis and PostgreSQL in containers, for tests on a machine with a Docker engine that already has the images."""

import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from shared.embedded.origin import Origin, version_in
from shared.embedded.ports import HOST, free_port
from shared.embedded.postgres_admin import Admin
from shared.embedded.process import PATIENCE
from shared.embedded.redis import SETTINGS, answers

REDIS_IMAGES = ("valkey/valkey:8-alpine", "redis:8-alpine", "redis:7-alpine")
POSTGRES_IMAGES = ("postgres:17-alpine", "postgres:17")


def image_at_hand(images: Sequence[str]) -> str | None:
    """Return the first of the images a reachable engine has, None without one; nothing is ever pulled."""
    try:
        import docker  # type: ignore[import-untyped] # noqa: PLC0415 - untyped; comes with testcontainers, for tests only
        from docker.errors import DockerException, ImageNotFound  # type: ignore[import-untyped] # noqa: PLC0415 - as above
    except ImportError:
        return None
    if not _engine_listens():
        return None
    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return None
    try:
        for image in images:
            try:
                client.images.get(image)
            except ImageNotFound:
                continue
            return image
    finally:
        client.close()
    return None


def _engine_listens() -> bool:
    """Tell whether anything listens where Docker should; its client leaves its socket open where nothing does."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix://")) == 0


class Container(ABC):
    """One container whose port on the host stays the same over a stop and a start."""

    def __init__(
        self, image: str, inner: int, command: Sequence[str], environment: dict[str, str] | None = None
    ) -> None:
        self.image, self.inner, self.command, self.environment = image, inner, list(command), environment or {}
        self.port = free_port()
        self.made: Any = None  # testcontainers is installed with the tests only, so its types are not known here

    @abstractmethod
    def answers(self) -> bool:
        """Say whether the program in the container takes connections."""

    def start(self) -> None:
        """Create or restart the container and wait until it answers."""
        if self.made is None:
            self.made = self._create()
        else:
            self.made.get_wrapped_container().start()
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.image} does not start: {self.made.get_logs()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the program; what it wrote stays."""
        if self.made:
            self.made.get_wrapped_container().stop(timeout=10)

    def kill(self) -> None:
        """End the program with SIGKILL; what it wrote stays."""
        if self.made:
            self.made.get_wrapped_container().kill()

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose everything: a new container on the same port."""
        self.remove()
        self.start()

    def remove(self) -> None:
        """Remove the container with everything it wrote."""
        if self.made:
            self.made.stop(force=True, delete_volume=True)
            self.made.get_docker_client().client.close()
            self.made = None

    def version(self, *program: str) -> str:
        """Return the version a program in the running container tells."""
        return version_in(self.made.exec(list(program)).output.decode())

    def _create(self) -> Any:
        # Ryuk, the reaper, is an image of its own: it would be pulled.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - installed with the tests only

        made: Any = DockerContainer(self.image).with_command(self.command).with_envs(**self.environment)
        made.ports[f"{self.inner}/tcp"] = (HOST, self.port)  # `with_bind_ports` would open it to the whole network
        return made.start()


class ContainerRedis(Container):
    """The interface of RedisServer, in a container."""

    def __init__(self, image: str) -> None:
        given = {**SETTINGS, "bind": "*", "protected-mode": "no"}
        super().__init__(image, 6379, [part for name, value in given.items() for part in (f"--{name}", value)])

    @property
    def url(self) -> str:
        """The address, as `redis://127.0.0.1:PORT/0`."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def origin(self) -> Origin:
        """What runs, and where it came from."""
        kind = "Valkey" if "valkey" in self.image else "Redis"
        return Origin(kind, self.version("redis-server", "--version"), f"Docker ({self.image})")

    def answers(self) -> bool:
        """Say whether PING is answered."""
        return answers(HOST, self.port)


class ContainerPostgres(Admin, Container):
    """The interface of PostgresServer, in a container."""

    def __init__(self, image: str, durable: bool = False) -> None:
        self.password = secrets.token_hex(16)
        fast = [] if durable else ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        environment = {"POSTGRES_PASSWORD": self.password, "POSTGRES_INITDB_ARGS": "--locale=C --encoding=UTF8"}
        command = ["postgres", "-c", "max_connections=200", "-c", "timezone=UTC", *fast]
        super().__init__(image, 5432, command, environment)

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as `postgresql+asyncpg://...`."""
        return f"postgresql+asyncpg://postgres:{self.password}@{HOST}:{self.port}/{database}"

    @property
    def origin(self) -> Origin:
        """What runs, and where it came from."""
        return Origin("PostgreSQL", self.version("postgres", "--version"), f"Docker ({self.image})")
