"""`python -m deploy.month`: thirteen nodes without a line for a month; equal again, or it exits with 1."""

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deploy.chaos.space import Space, possible
from deploy.month.hands import Apart
from deploy.month.hub import MonthHub
from deploy.month.place import Place
from deploy.month.story import Story
from shared.network.hub.keeping import THIRTEEN


async def month(folder: Path, nodes: int, messages: int, days: int, things: int, *, by_age: bool) -> dict[str, Any]:
    """Run the nodes apart from each other, each in a namespace with a server of its own; give the figures."""
    slugs = THIRTEEN[:nodes]
    with ExitStack() as kept:
        hub = kept.enter_context(MonthHub(folder / "hub", slugs, reachable=True))
        hands = []
        for number, slug in enumerate(slugs):
            space = Space(number)
            kept.callback(space.remove)
            space.make()
            address = f"redis://{space.here}:{hub.server.port}/0"
            place = Place(slug, slugs, str(folder / slug), address, things=things, by_age=by_age)
            hands.append(Apart(place, space, hub.server.port))
        try:
            await hub.sign(Story(hub, hands, messages).clock.now())
            await asyncio.gather(*(hand.begin() for hand in hands))
            return await Story(hub, hands, messages, days).tell()
        finally:
            await asyncio.gather(*(hand.end() for hand in hands))


def main() -> int:
    """Read the options, run, print."""
    words = argparse.ArgumentParser(prog="python -m deploy.month", description=__doc__)
    words.add_argument("--nodes", type=int, default=13, choices=range(2, 14), metavar="2-13")
    words.add_argument("--messages", type=int, default=834, help="told by each institution meanwhile")
    words.add_argument("--days", type=int, default=31)
    words.add_argument("--things", type=int, default=200, help="how many runs each institution has")
    words.add_argument("--by-age", action="store_true", help="control: boxes go by their age; it must fail")
    words.add_argument("--json", action="store_true", help="print JSON")
    said = words.parse_args()
    if not possible():
        raise SystemExit("network namespaces need root, ip, iptables and nsenter")
    with tempfile.TemporaryDirectory(prefix="album-month-") as folder:
        found = asyncio.run(month(Path(folder), said.nodes, said.messages, said.days, said.things, by_age=said.by_age))
    sys.stdout.write(json.dumps(found) if said.json else "\n".join(f"{name:22} {one}" for name, one in found.items()))
    sys.stdout.write("\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
