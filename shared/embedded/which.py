"""Which server is used: an address from outside, an image that is there, a binary of the machine, or the wheel."""

import os
from collections.abc import Mapping
from pathlib import Path

from shared.embedded import container, postgres, redis
from shared.embedded.given import GivenPostgres, GivenRedis
from shared.embedded.origin import NoServerError, Origin, engines
from shared.embedded.postgres_binary import find_binary as find_postgres

AnyRedis = redis.RedisServer | container.ContainerRedis | GivenRedis
AnyPostgres = postgres.PostgresServer | container.ContainerPostgres | GivenPostgres


def redis_server(folder: Path) -> AnyRedis:
    """Return a Redis for tests, not started yet; an own one keeps its files in the folder."""
    for engine in engines():
        if engine == "url" and (url := os.environ.get("ALBUM_TEST_REDIS_URL")):
            return GivenRedis(url, "ALBUM_TEST_REDIS_URL")
        if engine == "docker" and (image := container.image_at_hand(container.REDIS_IMAGES)):
            return container.ContainerRedis(image)
        if engine in {"path", "wheel"}:
            try:
                return redis.RedisServer(folder, binary=redis.find_binary((engine,)))
            except NoServerError:
                continue
    raise NoServerError(f"no Redis in any of: {', '.join(engines())}")


def postgres_server(folder: Path, *, durable: bool = True) -> AnyPostgres:
    """Return a PostgreSQL for tests, not started yet; an own one keeps its files in the folder."""
    for engine in engines():
        if engine == "url" and (url := os.environ.get("ALBUM_TEST_POSTGRES_URL")):
            return GivenPostgres(url, "ALBUM_TEST_POSTGRES_URL")
        if engine == "docker" and (image := container.image_at_hand(container.POSTGRES_IMAGES)):
            return container.ContainerPostgres(image, durable=durable)
        if engine in {"path", "wheel"}:
            try:
                return postgres.PostgresServer(folder, durable=durable, binary=find_postgres((engine,)))
            except NoServerError:
                continue
    raise NoServerError(f"no PostgreSQL in any of: {', '.join(engines())}")


def dispose(server: AnyRedis | AnyPostgres) -> None:
    """End a server at the end of its use; a container is removed with its data."""
    if isinstance(server, container.Container):
        server.remove()
    else:
        server.stop()


def summary(origins: Mapping[str, Origin]) -> str:
    """Say in one line what ran and where it came from, each by the role it had."""
    parts = [str(origin) if origin.kind == role else f"{role}: {origin}" for role, origin in origins.items()]
    return "; ".join(parts) or "no server was needed"
