"""What the writer of a foreign stream says of it, compared with what the hub shows: nothing is held back unseen."""

from datetime import datetime, timedelta

import structlog

from shared.kit.clock import Clock, passed
from shared.kit.outbox import digest
from shared.kit.streams import START, Heartbeat, Position, Streams
from shared.network.beats import Beat
from shared.network.border import check_beat
from shared.network.hub.streams import HubStreams
from shared.network.link.rows import Down
from shared.network.refusal import Refusal
from shared.network.roster import Roster

log = structlog.get_logger()

BEAT_EVERY = timedelta(seconds=30)
WITHHELD = timedelta(seconds=60)
KEYS_AT_EASE = 2000


class Listener:
    """Listens to the heartbeat of one stream's writer, and leaves one inside the node."""

    def __init__(self, stream: str, hub: HubStreams, local: Streams, clock: Clock) -> None:
        self.doubt: Refusal | None = None
        self.heard: datetime | None = None
        self._stream = stream
        self._hub = hub
        self._local = local
        self._clock = clock
        self._doubt_since: float | None = None
        self._differing: Refusal | None = None
        self.rest()

    def rest(self) -> None:
        """Forget what was left inside."""
        self._beaten: tuple[Position, bool] | None = None
        self._beat_after: float | None = None

    async def listen(self, roster: Roster, end: Position, at: Down) -> None:
        """Compare the heartbeat with the end that the hub shows, and the state inside with what its writer signed."""
        signed = await self._hub.heartbeat(self._stream)
        said = None if signed is None else check_beat(roster, self._stream, signed, self._clock.now())
        if isinstance(said, Beat):
            self.heard = said.at
            if at.position == at.local != START:
                await self._beat(said, at.position)
            self._say(_missing(said, end, at.position) or self._differing)
        elif said is None and end != START:
            self._say(Refusal("no_heartbeat", "its writer's heartbeat is not on the hub"))
        else:
            self._say(said)

    async def _beat(self, said: Beat, at: Position) -> None:
        now, this = self._clock.monotonic(), (at, said.head == at)
        if this == self._beaten or (self._beat_after is not None and now < self._beat_after):
            return
        index = await self._local.state_index(self._stream)
        if any(entry.position > at for entry in index.values()):
            return
        inside = Heartbeat(at, len(index), digest(index), self._clock.now().isoformat())
        await self._local.beat(self._stream, inside)
        other = said.head == at and (said.keys, said.digest) != (inside.keys, inside.digest)
        why = Refusal("state_differs", f"the state inside at {at} is not the one that its writer signed")
        self._differing = why if other else None
        # The digest reads every key: the more there are, the longer until the next one.
        wait = BEAT_EVERY * max(1, len(index) // KEYS_AT_EASE)
        self._beaten, self._beat_after = this, now + wait.total_seconds()

    def _say(self, why: Refusal | None) -> None:
        """Say what may only be late by now once it has lasted."""
        if why is None:
            self.doubt = self._doubt_since = None
            return
        self._doubt_since = self._doubt_since or self._clock.monotonic()
        if passed(self._clock, self._doubt_since) >= WITHHELD and (self.doubt is None or self.doubt.code != why.code):
            log.error("hub_in_doubt", stream=self._stream, code=why.code, reason=why.reason)
            self.doubt = why


def _missing(said: Beat, end: Position, taken: Position) -> Refusal | None:
    """Say what the hub does not show: what its writer is known to have told, or what was taken here already."""
    if said.head > max(end, taken):
        return Refusal("tail_withheld", f"its writer is at {said.head}, the hub shows {end}")
    if taken > max(end, said.head):
        # It comes back from its writer, unless that one lost it, too: then what it tells next is no continuation.
        return Refusal("tail_lost", f"{taken} was taken here; the hub shows {end}, its writer is at {said.head}")
    return None
