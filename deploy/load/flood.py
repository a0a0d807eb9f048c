"""`make flood`: one partner system floods the node by every way in, while twelve institutions go on with their work."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from deploy.demo.hands import Institution, until
from deploy.demo.platform import Embedded
from deploy.demo.story import OFFICE, Story
from deploy.load.gauges import Gauges, processes_of
from deploy.load.others import Times, at_work
from deploy.load.wares import SIZE

FLOODER = "kargah"
OTHERS = 12
ROOM = 64.0
"""MiB that a service may need above what it has in calm: 48 of bodies, and what the pages at hand hold when read."""
P99 = 1.0
"""Seconds within which 99 of 100 requests of the others are answered."""


@dataclass(frozen=True)
class Plan:
    """How many messages of which size, for how long at most, and how long it is watched before and after."""

    count: int
    size: int = SIZE
    seconds: float = 300.0
    calm: float = 15.0


@dataclass
class Outcome:
    """What a flood brought: the flooder's own count, the times of the others, the memory, and what the network sees."""

    flooder: dict[str, Any]
    before: Times
    during: Times
    gauges: dict[str, Gauges]
    seen: int
    left: dict[str, int]
    loads: dict[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Give how many messages were accepted, by all ways."""
        return sum(found.get("accepted", 0) for found in self.flooder["answers"].values())


async def found_many(story: Story) -> list[Institution]:
    """Take in as many institutions as twelve others need; give them without the flooder."""
    await story.ready()
    await story.found_network()
    office = story.known[OFFICE]
    for number in range(len(story.known) - 2, OTHERS):
        slug = f"house-{number}"
        await office.post("members", "/institutions", {"slug": slug, "name": slug.title()}, office=True)
        await office.post("members", f"/institutions/{slug}/admit", office=True)
        await office.post("members", f"/institutions/{slug}/activate", office=True)
        path = f"/institutions/{slug}/keys"
        key = await office.post("members", path, {"scopes": ["read", "write"]}, office=True)
        story.known[slug] = Institution(slug, str(key["key"]), story.platform, story.http)
    houses = [one for slug, one in story.known.items() if slug not in (OFFICE, FLOODER)]
    for house in houses:
        for service in ("courses", "events"):
            await until(f"{service} knows {house.slug}", partial(_opens, house, service))
    return houses


async def _opens(house: Institution, service: str) -> bool | None:
    return await house.may_write(service) or None


async def flood(platform: Embedded, story: Story, houses: list[Institution], plan: Plan) -> Outcome:
    """Watch others in calm, then let the flooder loose and watch them until it is over."""
    gauges = {name: Gauges(partial(processes_of, platform)) for name in ("before", "during", "after")}
    async with httpx.AsyncClient(timeout=60) as http:
        async with at_work(houses, http) as before, gauges["before"].looking(1.0):
            await asyncio.sleep(plan.calm)
        loads = {"before": os.getloadavg()[0]}
        async with at_work(houses, http) as during, gauges["during"].looking(0.5):
            told = await _let_loose(platform, story.known[FLOODER], plan)
        loads["during"] = os.getloadavg()[0]
        async with gauges["after"].looking(1.0):
            await asyncio.sleep(plan.calm)
        outcome = Outcome(told, before, during, gauges, 0, {}, loads)
        outcome.seen = await until("what was accepted is seen", partial(_seen, http, platform, outcome.accepted))
    outcome.left = await _left_in_redis(platform)
    return outcome


async def _let_loose(platform: Embedded, house: Institution, plan: Plan) -> dict[str, Any]:
    given = {"URL": platform.urls["courses"], "REDIS": platform.redis.url, "INSTITUTION": house.slug, "KEY": house.key}
    wanted = ("--count", str(plan.count), "--size", str(plan.size), "--seconds", str(plan.seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.load.flooder", *wanted,
        env={**os.environ, **{f"FLOOD_{name}": value for name, value in given.items()}},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("the flooder failed")
    told: dict[str, Any] = json.loads(printed)
    return told


async def _seen(http: httpx.AsyncClient, platform: Embedded, wanted: int) -> int | None:
    """Count what the network's picture has of the flooder."""
    seen, after = 0, ""
    while True:
        params = {"institution": FLOODER, "limit": "50", "after": after}
        answer = await http.get(f"{platform.urls['courses']}/runs", params=params)
        page = answer.json()
        seen += sum(one["run"]["run_id"].startswith("run_flood") for one in page["items"])
        if not (after := page["next"] or ""):
            return seen if seen >= wanted else None


async def _left_in_redis(platform: Embedded) -> dict[str, int]:
    from redis.asyncio import Redis  # noqa: PLC0415 - only what looks needs it

    stream = f"album:1:in:{{{FLOODER}}}"
    async with Redis.from_url(platform.redis.url) as client:
        memory = await client.info("memory")
        return {
            "entries": int(await client.xlen(stream)),
            "answers": int(await client.xlen(f"{stream}:answers")),
            "redis_peak_mib": int(memory["used_memory_peak"]) // 2**20,
        }


def report(outcome: Outcome) -> dict[str, Any]:
    """Give what a flood brought as JSON."""
    answers = outcome.flooder["answers"]
    return {
        **outcome.flooder,
        "accepted": outcome.accepted,
        "refused": sum(found.get("refused", 0) for found in answers.values()),
        "told_to_wait": sum(found.get("429", 0) for found in answers.values()),
        "full": answers.get("stream", {}).get("full", 0),
        "seen_by_others": outcome.seen,
        "left": outcome.left,
        "others_before": outcome.before.report(),
        "others_during": outcome.during.report(),
        "p99_times_calm": round(outcome.during.quantile(0.99) / (outcome.before.quantile(0.99) or 1.0), 1),
        "load": outcome.loads,
        "rss_mib": _memory(outcome),
        "faults": faults(outcome),
    }


def _memory(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Give the memory of each process: the median before and after, the most while it lasted."""
    found: dict[str, dict[str, float]] = {}
    for name in sorted(outcome.gauges["before"].samples):
        before, during, after = ([s.rss for s in outcome.gauges[when].samples[name]] for when in outcome.gauges)
        found[name] = {"before": round(median(before)), "most": round(max(during)), "after": round(median(after))}
    return found


def faults(outcome: Outcome) -> list[str]:
    """Give what should not be: others who waited long or were refused, memory that grew, a 429 without Retry-After."""
    found = [f"{status} for others" for status in outcome.during.statuses if not status.startswith("2")]
    if (p99 := outcome.during.quantile(0.99)) > P99:
        found.append(f"p99 of the others is {p99:.2f} s, load {outcome.loads}")
    for name, rss in _memory(outcome).items():
        # Redis holds for weeks what was accepted: it may grow with that, and is bounded by itself.
        if name != "redis" and rss["most"] > rss["before"] + ROOM:
            found.append(f"memory of {name} rose from {rss['before']} to {rss['most']} MiB")
    if outcome.flooder["retry_after"].keys() - {"given"}:
        found.append("429 or 503 without Retry-After")
    if outcome.seen < outcome.accepted:
        found.append(f"{outcome.accepted} were accepted, {outcome.seen} are seen")
    return found


def _print_table(told: dict[str, Any], say: Callable[[str], None]) -> None:
    words = ("sent", "accepted", "refused", "told_to_wait", "full", "seconds", "seen_by_others", "gave_up", "left")
    say(", ".join(f"{word} {told[word]}" for word in words))
    for way, found in told["answers"].items():
        say(f"  {way}: {found}")
    for when in ("before", "during"):
        say(f"  others {when}: {told[f'others_{when}']}")
    for name, rss in told["rss_mib"].items():
        say(f"  {name}: rss MiB before {rss['before']}, most {rss['most']}, after {rss['after']}")
    say(f"  p99 is {told['p99_times_calm']} times that in calm; load of the machine {told['load']}")
    for fault in told["faults"]:
        say(f"  {fault}")


async def _run(platform: Embedded, plan: Plan) -> Outcome:
    async with httpx.AsyncClient(timeout=30) as http:
        story = Story(platform, http, _say)
        houses = await found_many(story)
        return await flood(platform, story, houses, plan)


def main() -> None:
    """Run it on embedded servers in `var/flood` and write `var/flood.json`; ends with 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="flood", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=SIZE, help="bytes")
    parser.add_argument("--seconds", type=float, default=300.0, help="after which the flooder gives up")
    parser.add_argument("--var", type=Path, default=Path("var"))
    wanted = parser.parse_args()
    platform = Embedded((wanted.var / "flood").resolve())
    platform.start()
    try:
        outcome = asyncio.run(_run(platform, Plan(wanted.count, wanted.size, wanted.seconds)))
    finally:
        platform.stop()
    told = report(outcome)
    _print_table(told, _say)
    (wanted.var / "flood.json").write_text(json.dumps(told, indent=1), "utf-8")
    _say(json.dumps(told))
    sys.exit(1 if told["faults"] else 0)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command that tells what it does


if __name__ == "__main__":
    main()
