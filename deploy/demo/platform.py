"""Where the demo runs: four processes on embedded servers, or the containers of docker-compose."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from shared.embedded.ports import free_port
from shared.embedded.redis import RedisServer
from shared.embedded.smtp import Catcher

SERVICES = ("members", "courses", "events", "notifications")
OFFER_TIME = "PT5S"
OneP = TypeVar("OneP", bound="OnePlace")


@dataclass(frozen=True)
class CaughtMail:
    """A mail as it arrived."""

    message: EmailMessage
    recipient: str
    arrived_at: str

    @property
    def message_id(self) -> str:
        """Give the Message-ID, which is made from the delivery's id."""
        return str(self.message["Message-ID"])


class Place(Protocol):
    """A node: four services that hear one another on one Redis."""

    urls: dict[str, str]

    def album(self, *words: str) -> str:
        """Run the operator's command there and give what it printed."""
        ...


class Platform(Protocol):
    """What the demo needs of the place it runs on."""

    def places(self) -> Sequence["Place"]:
        """Give the nodes: one, or several that a hub joins; the office's is the first."""
        ...

    def place_of(self, institution: str) -> "Place":
        """Give the node that hosts an institution."""
        ...

    def mails(self) -> list[CaughtMail]:
        """Give the mails that arrived so far."""
        ...

    def stop(self) -> None:
        """End what was started."""
        ...


class OnePlace:
    """A platform that is one node, and hosts everybody."""

    def places(self: "OneP") -> list["OneP"]:
        """Give this one."""
        return [self]

    def place_of(self: "OneP", institution: str) -> "OneP":
        """Give this one, whoever is asked for."""
        return self


@dataclass
class Embedded(OnePlace):
    """Four service processes, a real Redis, SQLite files or a given database, an SMTP catcher: all in one folder.

    `within` is the command that starts another one elsewhere, `address` is where that is reached.
    """

    folder: Path
    database: str = ""
    urls: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything in an empty folder."""
        self.start_servers()
        self.album("migrate")
        for service in SERVICES:
            self.start_service(service)

    def start_servers(self) -> None:
        """Start Redis and the mail catcher in an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.redis = self.made_redis()
        self.redis.start()
        self.catcher = Catcher(self.folder / "mails")
        self.catcher.start()
        self.environment = self._made_environment()

    def made_redis(self) -> RedisServer:
        """Give the node's Redis, not started yet."""
        return RedisServer(self.folder / "redis")

    def start_service(self, service: str, copy: str = "", **environment: str) -> None:
        """Start a service, or a further copy of it."""
        with (self.folder / f"{service}{copy}.log").open("ab") as log:
            self.processes[service + copy] = subprocess.Popen(
                [*self.within, sys.executable, "-m", f"services.{service}"],
                env={**self.environment, **environment},
                stdout=log,
                stderr=log,
            )

    def kill(self, service: str) -> None:
        """End a process with SIGKILL, in the middle of whatever it does."""
        process = self.processes.pop(service)
        process.kill()
        process.wait()

    def album(self, *words: str) -> str:
        """Run the operator's command and give what it printed."""
        command = [*self.within, str(Path(sys.executable).with_name("album")), *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"album {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def mails(self) -> list[CaughtMail]:
        """Give the mails that arrived so far."""
        return [
            CaughtMail(mail.message, mail.recipients[0], mail.arrived_at.isoformat(timespec="seconds"))
            for mail in list(self.catcher.mails)
        ]

    def stop(self) -> None:
        """Tell the services to stop, then the servers."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.catcher.stop()
        self.redis.stop()

    def _made_environment(self) -> dict[str, str]:
        ports = {service: free_port() for service in SERVICES}
        self.urls = {service: f"http://{self.address}:{port}" for service, port in ports.items()}
        return {
            **os.environ,
            "ALBUM_DATABASE": self.database or f"sqlite+aiosqlite:///{self.folder}/{{service}}.db",
            "ALBUM_REDIS": self.redis.url,
            "ALBUM_SECRET": secrets.token_hex(16),
            "ALBUM_PORTS": json.dumps(ports),
            "ALBUM_SMTP": f"{self.catcher.host}:{self.catcher.port}",
            "ALBUM_MAIL_FROM": "album@demo.example",
            "ALBUM_OFFER_TIME": OFFER_TIME,
        }


@dataclass
class Compose(OnePlace):
    """The containers that `deploy/compose-demo.sh` has started; their ports and secrets are in its environment file."""

    project: str
    env_file: Path
    urls: dict[str, str] = field(default_factory=dict)
    hosted: tuple[str, ...] = ()
    fetched: dict[str, CaughtMail] = field(default_factory=dict)

    def start(self) -> None:
        """Read where the containers are reached."""
        lines = self.env_file.read_text("utf-8").splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        self.urls = {service: f"http://127.0.0.1:{values[f'ALBUM_{service.upper()}_PORT']}" for service in SERVICES}
        self._mail = f"http://127.0.0.1:{values['ALBUM_MAIL_PORT']}/api/email"
        self.hosted = tuple(values.get("ALBUM_HOSTED", "*").split(","))

    def album(self, *words: str) -> str:
        """Run the operator's command in a container of the operator's image."""
        return self._compose("run", "--rm", "--no-deps", "-T", "album", *words)

    def restart(self) -> None:
        """Stop everything that runs, and start it again."""
        self._compose("restart")

    def _compose(self, *words: str) -> str:
        command = ["docker", "compose", "-p", self.project, "--env-file", str(self.env_file), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"docker compose {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def mails(self) -> list[CaughtMail]:
        """Give the mails that arrived so far, as maildev keeps them; each is fetched once."""
        arrived = httpx.get(self._mail, timeout=10).json()
        for one in arrived:
            if one["id"] not in self.fetched:
                self.fetched[one["id"]] = self._fetch(one)
        return [self.fetched[one["id"]] for one in arrived]

    def _fetch(self, one: dict[str, Any]) -> CaughtMail:
        source = httpx.get(f"{self._mail}/{one['id']}/source", timeout=10).content
        message = message_from_bytes(source, policy=policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - what policy.default makes
        return CaughtMail(message, str(message["To"].addresses[0].addr_spec), str(one.get("time", "")))

    def stop(self) -> None:
        """Leave the containers to the script that started them."""
