"""A node of a network on this machine: four services, a Redis, a catcher for mails; joined by two commands."""

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.platform import SERVICES, Embedded
from deploy.nodes.hub import Hub

OFFICE = "office"


@dataclass
class Node(Embedded):
    """One institution's node, or the office's."""

    slug: str = OFFICE
    hub: Hub | None = None
    hosted: tuple[str, ...] = ()

    @property
    def identities(self) -> Path:
        """Give the folder with the node's keys."""
        return self.folder / "network"

    def prepare(self) -> None:
        """Start the servers and make the databases, before any service runs."""
        self.start_servers()
        assert self.hub is not None  # noqa: S101 - a node of a network
        line = self.hub.line(self.slug)
        address = f"rediss://{line.host}:{line.port}"
        hosted = ",".join(self.hosted or (self.slug,))
        self.environment |= {"ALBUM_HUB": address, "ALBUM_HOSTED": hosted, "ALBUM_IDENTITIES": str(self.identities)}
        self.environment["ALBUM_HUB_CA"] = str(self.hub.ca)
        if self.slug == OFFICE:
            self.environment["ALBUM_HUB_DIR"] = str(self.hub.folder)
        self.album("migrate")

    def join(self, office: "Node", slug: str = "") -> None:
        """Join as an institution: the office invites, this node asks, the office admits, this node is in."""
        slug = slug or self.slug
        address = self.environment["ALBUM_HUB"]
        code = json.loads(office.album("network", "invite", slug, "--hub-address", address, "--json"))["code"]
        self.album("network", "join", "--no-wait", code)
        office.album("network", "admit", slug)
        self.album("network", "join", "--no-wait", code)

    def start_services(self) -> None:
        """Start the four services."""
        for service in SERVICES:
            self.start_service(service)
