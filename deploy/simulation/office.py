"""The office in a simulated world: it admits, changes keys, suspends and takes again, each time with a new roster."""

from datetime import timedelta
from random import Random

from deploy.simulation.hub import SimHub
from deploy.simulation.loop import now
from deploy.simulation.moments import BEGIN
from shared.kit.streams import Position
from shared.network import changes
from shared.network.held import Held, sign_roster
from shared.network.identity import Identity
from shared.network.names import box_stream, pub_stream
from shared.network.roster import RootKey, Roots, Status
from shared.network.roster_document import document_of
from shared.network.signing import sign_with_seed

SERVICES = ("members", "courses")


class Office:
    """Signs who is who, and hands institutions their keys."""

    def __init__(self, name: str, institutions: list[str], hub: SimHub, random: Random) -> None:
        self._seed = random.randbytes(32)
        self._random = random
        self._hub = hub
        self._names = institutions
        roots = Roots(1, (RootKey(sign_with_seed(self._seed, b"")[0]),))
        self.pinned = Held(roots)
        self.keys: dict[str, tuple[Identity, ...]] = {
            slug: (Identity.make(slug, random.randbytes),) for slug in institutions
        }
        self._roster = changes.first_roster(name, roots, BEGIN)
        for slug in institutions:
            self._roster = changes.admit(self._roster, slug, self.keys[slug][0].public)
        self._publish()

    def _publish(self) -> None:
        # Clocks may be an hour ahead or behind: what expires in hours would say nothing about the protocol.
        self._roster = changes.issue(self._roster, BEGIN + timedelta(seconds=now()))
        document = document_of(self._roster)
        self._hub.put_roster(self._roster.version, document, sign_roster(document, [self._seed]))

    def _heads(self, slug: str) -> dict[str, Position]:
        others = [name for name in self._names if name != slug]
        streams = [*(pub_stream(slug, one) for one in SERVICES), *(box_stream(to, slug) for to in others)]
        return {stream: self._hub.ends[stream] for stream in streams if stream in self._hub.ends}

    def rotate(self, slug: str) -> None:
        """Name new keys of an institution, which signs with them from then on."""
        new = self.keys[slug][0].with_new_keys(self._random.randbytes)
        self._roster = changes.rotate(self._roster, slug, new.public, self._heads(slug))
        self.keys[slug] = (new, *self.keys[slug])
        self._publish()

    def suspend(self, slug: str) -> None:
        """Have nobody take anything new of an institution."""
        self._roster = changes.suspend(self._roster, slug, self._heads(slug))
        self._publish()

    def reinstate_all(self) -> None:
        """Take all again that were suspended."""
        for member in self._roster.institutions:
            if member.status is Status.SUSPENDED:
                self._roster = changes.reinstate(self._roster, member.slug)
                self._publish()
