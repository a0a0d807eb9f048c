"""The demo on several nodes: a hub, the office's node, and the nodes of two institutions, each with a line to cut."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from deploy.demo.platform import CaughtMail, Compose
from deploy.nodes.hub import Hub
from deploy.nodes.node import OFFICE, Node

APART = ("bildungsverein", "kargah")


@dataclass
class ComposeNetwork:
    """Nodes that are compose projects of their own and have joined already; the first is the office's, with the hub."""

    nodes: list[Compose]

    def start(self) -> None:
        """Read where the containers are reached."""
        for node in self.nodes:
            node.start()

    def places(self) -> list[Compose]:
        """Give the nodes, the office's first."""
        return self.nodes

    def place_of(self, institution: str) -> Compose:
        """Give the node that hosts an institution."""
        return next((node for node in self.nodes if institution in node.hosted), self.nodes[0])

    def mails(self) -> list[CaughtMail]:
        """Give the mails that arrived so far, of all nodes."""
        return sorted((mail for node in self.nodes for mail in node.mails()), key=lambda mail: mail.arrived_at)

    def restart(self) -> None:
        """Stop all nodes and the hub, and start them again."""
        for node in self.nodes:
            node.restart()

    def stop(self) -> None:
        """Leave the containers to the script that started them."""


@dataclass
class Network:
    """Institutions on nodes of their own; whom no other node hosts is with the office."""

    folder: Path
    count: int = 3
    nodes: dict[str, Node] = field(default_factory=dict)

    def start(self) -> None:
        """Make the hub, have each node join by the two commands, start all services."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.hub = Hub(self.folder / "hub")
        self.hub.make()
        self.hub.start()
        apart = APART[: self.count - 1]
        with_office = (OFFICE, "vhs-hannover", *(one for one in APART if one not in apart))
        office = self.nodes[OFFICE] = Node(self.folder / OFFICE, hub=self.hub, hosted=with_office)
        office.prepare()
        for slug in with_office:
            office.join(office, slug)
        for slug in apart:
            node = self.nodes[slug] = Node(self.folder / slug, slug=slug, hub=self.hub)
            node.prepare()
            node.join(office)
        for node in self.nodes.values():
            node.start_services()

    def places(self) -> list[Node]:
        """Give the nodes, the office's first."""
        return list(self.nodes.values())

    def place_of(self, institution: str) -> Node:
        """Give the node that hosts an institution."""
        return self.nodes.get(institution, self.nodes[OFFICE])

    def mails(self) -> list[CaughtMail]:
        """Give the mails that arrived so far, of all nodes."""
        return sorted((mail for node in self.nodes.values() for mail in node.mails()), key=lambda mail: mail.arrived_at)

    def cut(self, institution: str) -> None:
        """Cut the line between a node and the hub."""
        self.hub.line(institution).cut()

    def mend(self, institution: str) -> None:
        """Mend the line."""
        self.hub.line(institution).mend()

    def stop(self) -> None:
        """End all nodes, then the hub."""
        for node in self.nodes.values():
            node.stop()
        if hasattr(self, "hub"):
            self.hub.stop()
