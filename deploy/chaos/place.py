"""A node that can be hurt: in a namespace of its own, with its files at hand to cut, delete and put back."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.chaos.space import BOTH, IN, OUT, Space
from deploy.demo.platform import SERVICES
from deploy.nodes.node import Node
from shared.embedded.redis import RedisServer, answers

QUICK = {"ALBUM_RATE": "100000", "ALBUM_BURST": "100000", "ALBUM_LOG_LEVEL": "INFO"}


class RedisInside(RedisServer):
    """A Redis in a namespace."""

    space: Space

    def _command(self) -> list[str]:
        words = [one if one != "127.0.0.1" else f"127.0.0.1 {self.space.there}" for one in super()._command()]
        return [*self.space.within, *words, "--protected-mode", "no"]

    def _answers(self) -> bool:
        return answers(self.space.there, self.port)


@dataclass
class Hurt(Node):
    """A node whose line, processes and files are at our mercy."""

    space: Space | None = None

    def prepare(self) -> None:
        """Make its namespace, then what every node needs."""
        if self.space is not None:
            self.within, self.address = self.space.within, self.space.there
        super().prepare()

    def _made_environment(self) -> dict[str, str]:
        host = {} if self.space is None else {"ALBUM_HOST": "0.0.0.0"}  # noqa: S104 - in a namespace of its own
        return {**super()._made_environment(), **QUICK, **host}

    def made_redis(self) -> RedisServer:
        """Give its Redis, where its services are."""
        if self.space is None:
            return super().made_redis()
        server = RedisInside(self.folder / "redis")
        server.space = self.space
        return server

    @property
    def redis_url(self) -> str:
        """Give the address at which this machine reaches its Redis."""
        return f"redis://{self.address}:{self.redis.port}/0"

    def cut_line(self, direction: str) -> None:
        """Cut the line to the hub, in one direction if there is a namespace to do it in."""
        assert self.hub is not None  # noqa: S101 - a node of a network
        if self.space is None:
            self.hub.line(self.slug).cut()
        else:
            self.space.cut(self.hub.line(self.slug).port, direction)

    def mend_line(self) -> int:
        """Mend it; gives how many packets were lost, as far as they are counted."""
        assert self.hub is not None  # noqa: S101 - a node of a network
        if self.space is None:
            self.hub.line(self.slug).mend()
            return 0
        lost = self.space.lost()
        self.space.mend()
        return lost

    def again(self, service: str, **environment: str) -> None:
        """End a service with SIGKILL and start it, with a clock that goes wrong if that is wanted."""
        self.kill(service)
        self.start_service(service, **environment)

    def all_again(self, **environment: str) -> None:
        """End all services with SIGKILL and start them."""
        for service in SERVICES:
            self.again(service, **environment)

    def wait_alive(self) -> None:
        """Wait until every service answers."""
        self._wait("live")

    def wait_ready(self) -> None:
        """Wait until every service knows all that it told, and keeps up with what it reads."""
        self._wait("ready")

    def _wait(self, probe: str, patience: float = 90.0) -> None:
        until = time.monotonic() + patience
        while not self._says(probe):
            if time.monotonic() > until:
                raise SystemExit(f"{self.slug} does not come up: see {self.folder}/*.log")
            time.sleep(0.2)

    def _says(self, probe: str) -> bool:
        try:
            return all(httpx.get(f"{url}/health/{probe}", timeout=5).status_code == 200 for url in self.urls.values())
        except httpx.HTTPError:
            return False

    def halt(self) -> None:
        """End everything of the node with SIGKILL."""
        for service in SERVICES:
            self.kill(service)
        self.redis.kill()

    def go_on(self) -> None:
        """Start everything of it."""
        self.redis.start()
        self.start_services()

    def keep_backup(self, to: Path) -> None:
        """Copy the databases and the Redis folder of a node that is halted."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        for path in self.folder.glob("*.db*"):
            shutil.copy2(path, to / path.name)
        shutil.copytree(self.folder / "redis", to / "redis")

    def put_back(self, backup: Path) -> None:
        """Put the databases and the Redis folder back as they were."""
        for path in self.folder.glob("*.db*"):
            path.unlink()
        shutil.rmtree(self.folder / "redis")
        for path in backup.glob("*.db*"):
            shutil.copy2(path, self.folder / path.name)
        shutil.copytree(backup / "redis", self.folder / "redis")


def cut_tail(folder: Path, count: int) -> int:
    """Cut the end off an append-only file, as a machine does that loses its power; gives the bytes that are gone."""
    files = sorted(folder.rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    if not files:
        return 0
    size = files[-1].stat().st_size
    gone = min(size, count)
    with files[-1].open("r+b") as file:
        file.truncate(size - gone)
    return gone


def wipe(folder: Path) -> int:
    """Delete an append-only file with all its parts; gives the bytes that are gone."""
    files = [path for path in folder.rglob("*.aof*") if path.is_file()]
    gone = sum(path.stat().st_size for path in files)
    for path in files:
        path.unlink()
    return gone


DIRECTIONS = (BOTH, OUT, IN)
