"""What was before: tables, institutions and keys, what was asked for, what others told, a hub with its roster."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import SystemRandom
from typing import Any

import httpx
import sqlalchemy as sa
from redis import Redis

from deploy.chaos.sends.asking import HOUSE, OFFICE, OTHER, Ask
from deploy.chaos.sends.cases import Elsewhere
from deploy.chaos.sends.judging import Mask, picture
from deploy.chaos.sends.killing import closed
from deploy.chaos.sends.place import SERVICES, Place
from deploy.chaos.sends.turning import settle
from shared.kit import migrate
from shared.kit import tables as kit
from shared.kit.http import application
from shared.kit.node import Node, Service, build
from shared.network import changes, held
from shared.network.held import Held
from shared.network.identity import Identity
from shared.network.link.store import LinkStore
from shared.network.names import ROSTER
from shared.network.office.joining import identity_path
from shared.network.roster import RootKey, Roots
from shared.network.roster_document import document_of
from shared.network.signing import sign_with_seed

KNOWN = (HOUSE, OTHER, OFFICE)
_ROOT = bytes(range(32))


@dataclass
class Preparation:
    """Prepares a place in a process of its own."""

    place: Place
    made: set[tuple[str, str]] = field(default_factory=set)

    async def run(self) -> None:
        """Do all that was before, and note what came of it."""
        case, known = self.place.case, dict[str, str](push_port=str(self.place.servers.push_port))
        if case.hub:
            _make_hub(self.place)
        node = await self._node(self.place.service, build(self.place.service, self.place.settings()))
        node.kept["hub"] = self.place.servers.hub.url
        for step in case.before:
            if isinstance(step, Ask):
                await _ask(node, (step,), known)
            elif isinstance(step, Elsewhere):
                await self._elsewhere(step, known)
            else:
                await settle(node, case.before_turns)
        await settle(node, case.before_turns)
        found = json.dumps(await picture(node, str))
        await closed(node)
        (self.place.folder / "known.json").write_text(json.dumps(known), "utf-8")
        (self.place.folder / "words.json").write_text(json.dumps(sorted(Mask.words_of(found))), "utf-8")

    async def _elsewhere(self, step: Elsewhere, known: dict[str, str]) -> None:
        settings = self.place.settings(step.service, step.hosted)
        if self.place.case.hub:
            settings.redis = settings.redis.removesuffix("/0") + "/1"  # a node has a Redis of its own
        node = build(SERVICES[step.service], settings)
        node.kept["hub"] = self.place.servers.hub.url
        if (step.service, step.hosted) not in self.made:
            self.made.add((step.service, step.hosted))
            await self._node(SERVICES[step.service], node)
        await _ask(node, step.asks, known)
        await settle(node, step.turns)
        await closed(node)

    async def _node(self, service: Service, node: Node[Any]) -> Node[Any]:
        """Make a service's tables with whom it knows: three institutions, and a key of each that is its slug."""
        await migrate.upgrade(service, node.database)
        async with node.database.transaction() as connection:
            await connection.execute(sa.insert(kit.institution), [_institution(slug) for slug in KNOWN])
            await connection.execute(sa.insert(kit.api_key), [_key(slug) for slug in KNOWN])
        if self.place.case.hub and service.parts:
            await LinkStore(node.database, node.lease).keep_held(Held(_roots()))
        return node


async def _ask(node: Node[Any], asks: tuple[Ask, ...], known: dict[str, str]) -> None:
    transport = httpx.ASGITransport(application(node))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as api:
        for ask in asks:
            await ask.send(api, known, f"before {SystemRandom().random()}", before=False)


def _institution(slug: str) -> dict[str, Any]:
    return {"slug": slug, "name": f"Haus {slug}", "state": "active", "version": 1}


def _key(slug: str) -> dict[str, Any]:
    scopes = ["read", "write", *(["office"] if slug == OFFICE else [])]
    key = {"key_id": f"key_{slug.replace('-', '')}", "institution": slug, "sha256": sha256(slug.encode()).hexdigest()}
    return key | {"scopes": scopes, "revoked": False, "version": 1}


def _roots() -> Roots:
    return Roots(1, (RootKey(sign_with_seed(_ROOT, b"")[0]),))


def _make_hub(place: Place) -> None:
    """Give two institutions keys and an account, and publish the roster that names them."""
    now = datetime.now(UTC)
    roster = changes.first_roster(OFFICE, _roots(), now)
    with Redis.from_url(place.servers.hub.url) as client:
        for slug in (HOUSE, OTHER):
            made = Identity.make(slug, SystemRandom().randbytes)
            made.save(identity_path(place.folder / "network" / slug, slug))
            client.acl_setuser(slug, enabled=True, passwords=[f"+{made.password}"], keys=["*"], categories=["+@all"])
            roster = changes.admit(roster, slug, made.public)
        roster = changes.issue(roster, now)
        document = document_of(roster)
        client.xadd(ROSTER, {"p": document, "s": held.sign_roster(document, [_ROOT])}, id=f"1-{roster.version}")
