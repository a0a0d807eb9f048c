"""What a node of the month is told when it begins, and the clock that all of them share."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from shared.kit.clock import Clock
from shared.network.identity import Identity
from shared.network.names import box_stream, pub_stream
from shared.network.roster import RootKey, Roots
from shared.network.signing import sign_with_seed

SERVICE = "courses"
ROOT = b"the office of the month" + bytes(9)


@dataclass(frozen=True)
class Place:
    """One node: who it is, who the others are, where its files and servers are, and how much it does wrong."""

    slug: str
    slugs: tuple[str, ...]
    folder: str
    hub: str
    redis: str = ""
    things: int = 200
    by_age: bool = False

    def write(self) -> Path:
        """Write it to a file in its folder, which is made."""
        path = Path(self.folder) / "place.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "Place":
        """Read it from a file."""
        said = json.loads(path.read_text("utf-8"))
        return cls(**{**said, "slugs": tuple(said["slugs"])})

    @property
    def others(self) -> list[str]:
        """Name the other institutions."""
        return [slug for slug in self.slugs if slug != self.slug]

    @property
    def pubs(self) -> list[str]:
        """Name the public streams of all."""
        return [pub_stream(slug, SERVICE) for slug in self.slugs]

    @property
    def boxes(self) -> list[str]:
        """Name the boxes to this institution."""
        return [box_stream(self.slug, other) for other in self.others]


class DaysClock(Clock):
    """The machine's clock, put forward by whole days."""

    def __init__(self) -> None:
        self.days = 0

    def now(self) -> datetime:
        """Give the virtual time of day, in UTC."""
        return datetime.now(UTC) + timedelta(days=self.days)

    async def sleep(self, seconds: float) -> None:
        """Wait; a second is a second."""
        await asyncio.sleep(seconds)


def identity_of(slug: str) -> Identity:
    """Make the keys of an institution, the same ones each time."""
    seeded = Random(f"month {slug}")  # noqa: S311 - keys for a network of one machine, the same ones each time
    return Identity.make(slug, seeded.randbytes)


def roots() -> Roots:
    """Give the office's root key."""
    return Roots(1, (RootKey(sign_with_seed(ROOT, b"")[0]),))
