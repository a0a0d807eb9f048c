"""The heartbeat that the writer of a stream leaves on the hub."""

from datetime import datetime, timedelta

from shared.kit.streams import Position
from shared.network.beats import Beat, beat_payload, digest_of, read_beat
from shared.network.link.rows import Up
from shared.network.link.sign import Around, Signing
from shared.network.office.pages import behind
from shared.network.signing import sign_beat

BEAT_EVERY = timedelta(seconds=30)
BEAT_ANYWAY = timedelta(hours=1)


class Beats:
    """Leaves the heartbeat of one own stream when its head has moved, and once an hour."""

    def __init__(self, stream: str, around: Around, signing: Signing) -> None:
        self._stream = stream
        self._around = around
        self._signing = signing
        self._beaten: tuple[Position, datetime] | None = None

    def rest(self) -> None:
        """Forget what was left on the hub."""
        self._beaten = None

    async def leave(self, up: Up) -> None:
        """Leave a heartbeat for where the stream is signed and sent, where one is due."""
        head, now = up.position, self._around.clock.now()
        if self._beaten is None:
            self._beaten = await self._last_beat(head)
        if self._beaten is not None:
            at = self._beaten[1]
            # The one on the hub has a time of day: where the clock was put back since, it is not waited for.
            if abs(now - at) < (BEAT_ANYWAY if self._beaten[0] == head else BEAT_EVERY):
                return
        newest = await self._around.store.newest_hashes(self._stream)
        hashes = {key: hash_ for key, (_, hash_) in newest.items()}
        said = Beat(head, up.hash, len(hashes), digest_of(hashes), now)
        beat = sign_beat(self._signing.identity_at(behind(head)), self._stream, beat_payload(said))
        await self._around.hub.beat(self._stream, beat)
        self._beaten = (head, now)

    async def _last_beat(self, head: Position) -> tuple[Position, datetime] | None:
        """Give head and moment of the heartbeat on the hub, where it is one of ours for this head."""
        beat = await self._around.hub.heartbeat(self._stream)
        if beat is None or beat.kid != self._signing.identity_at(behind(head)).kid:
            return None
        try:
            said = read_beat(beat.payload)
        except ValueError:
            return None
        return (said.head, said.at) if said.head == head else None
