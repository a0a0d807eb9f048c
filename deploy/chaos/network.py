"""A network to be hurt: a hub, the office's node and two institutions', each in a namespace if the machine allows."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import httpx

from deploy.chaos import space
from deploy.chaos.place import Hurt
from deploy.chaos.writer import Ledger, Writer
from deploy.demo.hands import Institution, issue_key, until
from deploy.nodes.hub import Hub
from deploy.nodes.node import OFFICE

PARTNERS = ("bildungsverein", "kargah")


@dataclass
class Hurtful:
    """The nodes, their hub, and the software of the institutions that work on them."""

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    nodes: dict[str, Hurt] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    spaces: list[space.Space] = field(default_factory=list)

    @property
    def in_spaces(self) -> bool:
        """Tell whether the nodes have network namespaces."""
        return bool(self.spaces)

    def start(self) -> None:
        """Make the hub, have each node join by the two commands, start all services."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        slugs = (OFFICE, *PARTNERS)
        if space.possible():
            self.spaces = [space.Space(number) for number in range(len(slugs))]
        for one in self.spaces:
            one.make()
        hosts = {slug: one.here for slug, one in zip(slugs, self.spaces, strict=False)}
        self.hub = Hub(self.folder / "hub", hosts=hosts)
        self.hub.make()
        self.hub.start()
        for number, slug in enumerate(slugs):
            own = self.spaces[number] if self.spaces else None
            self.nodes[slug] = Hurt(self.folder / slug, slug=slug, hub=self.hub, space=own)
        with ThreadPoolExecutor() as several:
            list(several.map(Hurt.prepare, self.nodes.values()))
        for node in self.nodes.values():
            node.join(self.nodes[OFFICE])
            node.start_services()
        for node in self.nodes.values():
            node.wait_alive()

    def places(self) -> list[Hurt]:
        """Give the nodes, the office's first."""
        return list(self.nodes.values())

    def place_of(self, institution: str) -> Hurt:
        """Give the node of an institution."""
        return self.nodes[institution]

    def mails(self) -> list[object]:
        """Give nothing: nobody is written to here."""
        return []

    async def found(self, http: httpx.AsyncClient, random: Random) -> None:
        """Have the office take the institutions in, and give each node its software."""
        office = Institution(OFFICE, await issue_key(self, OFFICE, "office", "read", "write"), self, http)  # type: ignore[arg-type] # no mails here
        await until("the office's key opens members", partial(_opens, office, "members"), patience=90)
        known = [office]
        for slug in PARTNERS:
            await office.post("members", "/institutions", {"slug": slug, "name": slug}, office=True)
            await office.post("members", f"/institutions/{slug}/admit", office=True)
            await office.post("members", f"/institutions/{slug}/activate", office=True)
            known.append(Institution(slug, await issue_key(self, slug, "read", "write"), self, http))  # type: ignore[arg-type] # as above
        for one in known:
            for service in ("courses", "events"):
                await until(f"{service} knows {one.slug}", partial(_opens, one, service), patience=90)
            seed = Random(random.random())
            self.writers[one.slug] = Writer(one.slug, one.key, one.urls, self.ledger, seed, http)

    def stop(self) -> None:
        """End all nodes, the hub and the namespaces."""
        for node in self.nodes.values():
            if hasattr(node, "catcher"):
                node.stop()
        if hasattr(self, "hub"):
            self.hub.stop()
        for one in self.spaces:
            one.remove()


async def _opens(one: Institution, service: str) -> bool | None:
    try:
        return await one.may_write(service) or None
    except httpx.TransportError:
        await asyncio.sleep(0.2)
        return None
