"""Servers somebody else runs, named by an address in the environment: they can be used and emptied, not killed."""

from typing import Never

import redis

from shared.embedded.origin import Origin, version_in
from shared.embedded.postgres_admin import Admin


class NotOursError(RuntimeError):
    """A server given by its address is not ours to stop."""


class _Given:
    def __init__(self, address: str, variable: str) -> None:
        self.address, self.variable = address, variable

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Do nothing: others may use it."""

    def kill(self) -> Never:
        """Refuse."""
        raise NotOursError(f"the server of {self.variable} is not ours to end: leave the variable away")

    restart = wipe = kill


class GivenRedis(_Given):
    """The Redis of ALBUM_TEST_REDIS_URL."""

    @property
    def url(self) -> str:
        """The address, with its database number; tests empty that database."""
        return self.address

    @property
    def origin(self) -> Origin:
        """What runs, as it says itself."""
        with redis.Redis.from_url(self.address, decode_responses=True) as client:
            told = dict(client.info("server"))
        if "valkey_version" in told:
            return Origin("Valkey", str(told["valkey_version"]), self.variable)
        return Origin("Redis", str(told["redis_version"]), self.variable)


class GivenPostgres(Admin, _Given):
    """The PostgreSQL of ALBUM_TEST_POSTGRES_URL, whose user may create databases."""

    def url(self, database: str = "postgres") -> str:
        """The address with another database in it, as `postgresql+asyncpg://...`."""
        scheme, _, rest = self.address.partition("://")
        where, _, query = rest.partition("?")
        server = where.rpartition("/")[0] or where
        return f"{scheme.split('+')[0]}+asyncpg://{server}/{database}" + (f"?{query}" if query else "")

    @property
    def origin(self) -> Origin:
        """What runs, as it says itself."""
        return Origin("PostgreSQL", version_in(self.execute("SHOW server_version") or ""), self.variable)
