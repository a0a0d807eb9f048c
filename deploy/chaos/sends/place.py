"""Where a case happens: a database and a Redis that begin anew for each death, as the preparation left them."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from deploy.chaos.sends.asking import SECRET
from deploy.chaos.sends.cases import Case
from deploy.chaos.sends.judging import Mask, told_on
from deploy.chaos.sends.servers import Servers
from services.courses.app import service as courses
from services.events.app import service as events
from services.members.app import service as members
from services.notifications.app import service as notifications
from shared.kit.node import Service
from shared.kit.settings import Settings

SERVICES: dict[str, Service] = {one.name: one for one in (members, courses, events, notifications)}


@dataclass
class Place:
    """A folder and servers for one case."""

    case: Case
    folder: Path
    servers: Servers
    dumps: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    @property
    def service(self) -> Service:
        """Give the service that is killed."""
        return SERVICES[self.case.service]

    def settings(self, service: str = "", hosted: str = "") -> Settings:
        """Give the settings of the killed process, or of another service that tells it something before."""
        own = not service
        where = (
            self.servers.database_of(self.folder, "now")
            if own
            else f"sqlite+aiosqlite:///{self.folder}/else-{service}-{hosted}.db"
        )
        given: dict[str, Any] = {
            "database": where,
            "redis": self.servers.redis.url,
            "secret": SECRET,
            "hosted": hosted or self.case.hosted,
            "holder": "the one that is killed" if own else f"{service} elsewhere",
            "smtp": f"127.0.0.1:{self.servers.mail_port}",
            "webhook_private": True,
            "identities": self.folder / "network" / (hosted or self.case.hosted),
            **(self.case.settings if own else {}),
        }
        return SERVICES[service or self.case.service].settings(**given)

    @property
    def known(self) -> dict[str, str]:
        """Give the ids that the preparation brought to light."""
        words: dict[str, str] = json.loads((self.folder / "known.json").read_text("utf-8"))
        return words

    @property
    def mask(self) -> Mask:
        """Give what hides whatever the preparation did not leave."""
        return Mask(frozenset(json.loads((self.folder / "words.json").read_text("utf-8"))))

    def keep_first(self) -> None:
        """Keep the database and the streams as they are now for every life to come."""
        self.servers.keep_first(self.folder)
        self.dumps = {url: _dumped(url) for url in self.servers.redis_urls}
        words = json.loads((self.folder / "words.json").read_text("utf-8"))
        for url in self.servers.redis_urls:
            words += Mask.words_of(json.dumps(told_on(url, str)))
        (self.folder / "words.json").write_text(json.dumps(sorted(set(words))), "utf-8")

    def renew(self) -> None:
        """Begin anew."""
        self.servers.renew(self.folder)
        for url, dumped in self.dumps.items():
            with Redis.from_url(url) as client, client.pipeline(transaction=True) as pipeline:
                pipeline.flushall()
                for name, value in dumped.items():
                    pipeline.restore(name, 0, value)
                pipeline.execute()
        for received in (self.servers.mails, self.servers.pushes):
            shutil.rmtree(received, ignore_errors=True)
            received.mkdir()


def _dumped(url: str) -> dict[bytes, bytes]:
    with Redis.from_url(url) as client:
        return {name: client.dump(name) for name in client.scan_iter(count=1000)}
