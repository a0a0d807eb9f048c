"""The state of a foreign stream, for who comes late: every key as its writer signed it, and nothing held back."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.kit.clock import Clock
from shared.kit.streams import Entry, Position, Streams
from shared.network.beats import Beat
from shared.network.border import Genuine, check_beat, check_page, check_state
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubStreams
from shared.network.names import hub_stream
from shared.network.office.pages import before
from shared.network.refusal import Refusal
from shared.network.roster import Roster

log = structlog.get_logger()


class Sides(Protocol):
    """The hub, the node's own streams, and how entries are judged."""

    @property
    def hub(self) -> HubStreams:
        """Give the hub."""
        ...

    @property
    def local(self) -> Streams:
        """Give the streams inside the node."""
        ...

    @property
    def clock(self) -> Clock:
        """Give what tells the time."""
        ...

    @property
    def genuine(self) -> Genuine:
        """Give what verifies a signature."""
        ...


@dataclass(frozen=True)
class Loaded:
    """The entry at the end of a stream whose state is inside now, and its newest entries without their payloads."""

    end: SignedEntry
    index: dict[str, Entry]

    async def is_there(self, stream: str, local: Streams) -> bool:
        """Tell whether the state is inside still: the node's Redis may have lost it before the end came."""
        there = await local.state_index(stream)
        return all(key in there and there[key].position >= one.position for key, one in self.index.items())


@dataclass(frozen=True)
class _Loaded:
    """A state that was taken: the entry at the stream's end, whether nothing lay behind it, and its newest entries."""

    last: SignedEntry | None
    whole: bool
    index: dict[str, Entry]


async def load_state(
    stream: str, sides: Sides, at: Position, roster: Roster
) -> Loaded | Refusal | tuple[SignedEntry, Refusal] | None:
    """Keep the state of a public stream inside and give the entry at its end, to stand there.

    Gives None where there is nothing new, a refusal where the hub holds something back, and an entry with its refusal
    where one of the state is not taken.
    """
    # Before the end is asked: its writer may go on in between, and would then seem to be ahead of the hub.
    beat = await last_beat(stream, sides, roster)
    [end] = await sides.hub.heads([stream])
    cut = roster.cut_of(hub_stream(stream).writer, stream)
    end = end if cut is None else min(end, before(cut))
    if end <= at:
        return None
    if isinstance(beat, Beat) and beat.head > end and cut is None:
        return Refusal("tail_withheld", f"its writer is at {beat.head}, the hub shows {end}")
    loaded = await _load(stream, sides, end, roster)
    if not isinstance(loaded, _Loaded):
        return loaded
    hashes = {key: entry.hash for key, entry in loaded.index.items()}
    if isinstance(beat, Beat) and beat.head == end and loaded.whole and not beat.fits(hashes):
        return Refusal("state_withheld", f"the state at {end} is not the one that its writer signed")
    last = loaded.last or await _last_of(stream, sides, end, roster)
    log.info("state_loaded", stream=stream, keys=len(hashes), end=str(end), proven=isinstance(beat, Beat))
    return Loaded(last, loaded.index) if last else Refusal("end_withheld", f"the hub does not show the entry at {end}")


async def last_beat(stream: str, sides: Sides, roster: Roster) -> Beat | Refusal | None:
    """Give the heartbeat of a stream's writer, checked; None where there is none."""
    signed = await sides.hub.heartbeat(stream)
    return None if signed is None else check_beat(roster, stream, signed, sides.clock.now())


async def _load(stream: str, sides: Sides, end: Position, roster: Roster) -> _Loaded | tuple[SignedEntry, Refusal]:
    """Keep the state inside, page by page, each entry checked before."""
    last: SignedEntry | None = None
    whole = True
    index: dict[str, Entry] = {}
    async for page in sides.hub.state_pages(stream):
        here = {key: entry for key, entry in page.items() if entry.position <= end}
        whole = whole and len(here) == len(page)
        checked = check_state(roster, stream, here, sides.clock.now(), genuine=sides.genuine)
        for key, why in checked.refused.items():
            return here[key], why
        kept = {key: Entry(one.position, one.payload, one.hash(stream)) for key, one in here.items()}
        await _keep_newer(stream, sides.local, kept)
        index |= {key: entry._replace(payload=b"") for key, entry in kept.items()}
        last = next((entry for entry in here.values() if entry.position == end), last)
    return _Loaded(last, whole, index)


async def _keep_newer(stream: str, local: Streams, state: dict[str, Entry]) -> None:
    there = await local.state_of(stream, list(state))
    newer = {key: one for key, one in state.items() if key not in there or there[key].position < one.position}
    await local.keep_state(stream, newer)


async def _last_of(stream: str, sides: Sides, end: Position, roster: Roster) -> SignedEntry | None:
    page = await sides.hub.read(stream, before(end), 1)
    now = sides.clock.now()
    checked = check_page(roster, stream, None, before(end), page, now, genuine=sides.genuine)
    return checked.accepted[0] if checked.accepted and checked.accepted[0].position == end else None
