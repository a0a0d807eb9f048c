"""What happens only in a network of nodes: lines are cut, everything starts again; everybody goes on and catches up."""

import asyncio
import json
import time
from functools import partial
from typing import Any

from deploy.demo.hands import until
from deploy.demo.network import ComposeNetwork, Network
from deploy.demo.platform import Place
from deploy.demo.story import Story

CUT = "kargah"
DURING = 25


class CutLine:
    """The cut of one line, seen from both of its ends."""

    def __init__(self, story: Story, network: Network) -> None:
        self._story = story
        self._network = network

    async def cut(self) -> None:
        """Cut the line of kargah; from now on it is alone, and knows nothing of that in its work."""
        self._network.cut(CUT)
        self._story.say(f"the line between {CUT} and the hub is cut; both sides go on")

    async def go_on(self) -> None:
        """Both sides publish runs that the other cannot see yet."""
        here, there = self._story.known[CUT], self._story.known["bildungsverein"]
        for number in range(DURING):
            await self._story.published_run(here, f"Allein weiter {number:02}", 8, minimum=0)
            await self._story.published_run(there, f"Ohne kargah {number:02}", 8, minimum=0)
        await asyncio.sleep(2)
        mine, theirs = await self._seen(CUT), await self._seen("bildungsverein")
        missing = sum(1 for key in theirs if key not in mine), sum(1 for key in mine if key not in theirs)
        self._story.figures["missed_in_the_cut"] = sum(missing)
        self._story.say(
            f"{2 * DURING} runs published meanwhile; {CUT} lacks {missing[0]}, the others lack {missing[1]}"
        )

    async def mend(self) -> None:
        """Mend the line; in a moment all nodes hold the same."""
        began = time.monotonic()
        self._network.mend(CUT)
        await until("all nodes hold the same runs", self._all_equal, patience=90.0)
        self._story.figures["caught_up_seconds"] = round(time.monotonic() - began, 1)
        pictures = [await self._seen(slug) for slug in self._network.nodes]
        self._story.figures["nodes_equal"] = len({json.dumps(one, sort_keys=True) for one in pictures}) == 1
        self._story.say(f"mended: all {len(pictures)} nodes hold the same {len(pictures[0])} runs")

    async def _all_equal(self) -> bool | None:
        pictures = [await self._seen(slug) for slug in self._network.nodes]
        return True if all(one == pictures[0] for one in pictures) else None

    async def _seen(self, slug: str) -> dict[str, Any]:
        """Give every run as a node sees it: the copies that its own courses holds, by id."""
        found: dict[str, Any] = {}
        after = ""
        while True:
            url = f"{self._network.place_of(slug).urls['courses']}/runs"
            page = (await self._story.http.get(url, params={"limit": "200", "after": after})).json()
            found |= {one["run"]["run_id"]: (one["institution"], one["run"]) for one in page["items"]}
            if not (after := page["next"] or ""):
                return found


async def verify_hub(story: Story, place: Place) -> None:
    """Check every signature and every chain on the hub, as one node may read it."""
    printed = await asyncio.to_thread(place.album, "network", "verify", "--json")
    rows = json.loads(printed)
    story.figures["hub_entries"] = sum(row["entries"] for row in rows)
    story.figures["hub_faults"] = sum(bool(row["fault"]) for row in rows)
    story.say(f"{story.figures['hub_entries']} signed entries on the hub checked")


async def judge_rules(story: Story, office: Place) -> None:
    """Have the hub judge its access rules."""
    judged = json.loads(await asyncio.to_thread(office.album, "hub", "check", "--json"))
    story.figures["hub_checks"] = judged["checks"]
    story.figures["hub_faults"] += len(judged["violations"])
    story.say(f"{judged['checks']} questions about the hub's rules asked")


async def start_again(story: Story, network: ComposeNetwork) -> None:
    """Stop all nodes and the hub and start them; then each side publishes a run, and the other sees it."""
    await asyncio.to_thread(network.restart)
    await story.ready()
    for publisher, reader in (("bildungsverein", CUT), (CUT, "bildungsverein")):
        run_id = await story.published_run(story.known[publisher], "Nach dem Neustart", 8, minimum=0)
        url = f"{network.place_of(reader).urls['courses']}/runs/{run_id}"
        await until(f"{reader} sees the run of {publisher}", partial(_answers, story, url), patience=90.0)
    story.say("all nodes and the hub started again; runs reach both sides")


async def _answers(story: Story, url: str) -> bool | None:
    return (await story.http.get(url)).is_success or None
