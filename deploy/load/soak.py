"""`make soak`: institutions at work for an hour, and a random process ended with SIGKILL every minute."""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import httpx

from deploy.demo.hands import until
from deploy.demo.platform import SERVICES, Embedded
from deploy.demo.story import OFFICE, Story
from deploy.load.flatness import HANDLES, MEMORY, Life, judged
from deploy.load.following import Follower, following
from deploy.load.gauges import Gauges, Sample, processes_of
from deploy.load.hands import Worker
from deploy.load.judging import Tables, Verdict, judge, judge_mails
from deploy.load.ledger import Ledger

WORKERS = 18
FED = ("members", "courses", "events")
HELD = ("redis",)
"""What holds all that was told for weeks: its memory grows with that, and is shown but not judged."""


@dataclass(frozen=True)
class Plan:
    """How long, how much, and how often something is killed: `seconds`, commands a second, `every` in seconds."""

    seconds: float
    rate: float
    every: float
    seed: int = 1


@dataclass
class Outcome:
    """What a soak brought."""

    plan: Plan
    verdict: Verdict
    ledger: Ledger
    kills: Counter[str]
    gauges: Gauges
    seconds: float = 0.0
    unhealed: list[str] = field(default_factory=list)

    @property
    def memory(self) -> dict[str, Life | None]:
        """Give how the memory of each process went."""
        return {name: judged(found, _rss, MEMORY) for name, found in sorted(self.gauges.samples.items())}

    @property
    def handles(self) -> dict[str, Life | None]:
        """Give how the file handles of each process went."""
        return {name: judged(found, _handles, HANDLES) for name, found in sorted(self.gauges.samples.items())}

    @property
    def grown(self) -> list[str]:
        """Name what did not stay where it was."""
        memory = [f"memory of {name}" for name, life in self.memory.items() if name not in HELD and _grew(life)]
        return memory + [f"handles of {name}" for name, life in self.handles.items() if _grew(life)]

    @property
    def is_good(self) -> bool:
        """Tell whether nothing is lost, doubled or growing, everybody was answered, and the node came to rest."""
        return self.verdict.is_clean and not self.ledger.surprises and not self.unhealed and not self.grown


async def soak(platform: Embedded, plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Let institutions work on a started platform while processes are killed; heal it, and judge."""
    outcome = Outcome(plan, Verdict(), Ledger(), Counter(), Gauges(partial(processes_of, platform)))
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http:
        story = Story(platform, http, say)
        await story.ready()
        await story.found_network()
        workers = _workers(story, http, outcome)
        # At the beginning of a stream a follower is given the newest of each thing only: let all streams have begun.
        await asyncio.gather(*(_begin(one) for one in workers[: len(story.known) - 1]))
        await until("all is published", _all_published(platform), patience=60)
        await until("all streams are read", story.no_lag, patience=60)
        followers = {service: Follower(platform.urls[service], http) for service in FED}
        before = _told_so_far(platform)
        for one in followers.values():
            await one.begin()
        begun = monotonic()
        async with following(list(followers.values())), outcome.gauges.looking(2.0):
            await _work_and_kill(platform, workers, outcome, say)
            outcome.seconds = monotonic() - begun
            await _heal(story, platform, outcome, say)
        for one in followers.values():
            await one.catch_up()
    _judge(platform, outcome, {service: one.seen for service, one in followers.items()}, before)
    return outcome


def _told_so_far(platform: Embedded) -> dict[str, int]:
    statement = "SELECT count(*) FROM outbox WHERE stream LIKE 'album:1:pub:%'"
    return {service: Tables(platform.folder).rows(service, statement)[0][0] for service in FED}


def _workers(story: Story, http: httpx.AsyncClient, outcome: Outcome) -> list[Worker]:
    houses = [house for slug, house in story.known.items() if slug != OFFICE]
    seed = outcome.plan.seed
    return [
        Worker(str(number), houses[number % len(houses)], http, outcome.ledger, Random(seed + number))  # noqa: S311 - a soak can be run again
        for number in range(WORKERS)
    ]


async def _begin(worker: Worker) -> None:
    for _ in range(3):
        await worker.act()


def _all_published(platform: Embedded) -> Callable[[], Any]:
    statement = "SELECT count(*) FROM outbox WHERE seq IS NULL"

    async def look() -> bool | None:
        return not any(Tables(platform.folder).rows(service, statement)[0][0] for service in SERVICES) or None

    return look


async def _work_and_kill(
    platform: Embedded, workers: list[Worker], outcome: Outcome, say: Callable[[str], None]
) -> None:
    until_then = monotonic() + outcome.plan.seconds
    killer = asyncio.create_task(_kill(platform, outcome, say))
    await asyncio.gather(*(_at_work(one, outcome, until_then) for one in workers))
    killer.cancel()
    await asyncio.gather(killer, return_exceptions=True)


async def _at_work(worker: Worker, outcome: Outcome, until_then: float) -> None:
    """Act at the worker's share of the rate; who was held up catches up, but never with more than a few at once."""
    share = WORKERS / outcome.plan.rate
    due = monotonic() + worker.random.uniform(0, share)
    while (now := monotonic()) < until_then:
        if now < due:
            await asyncio.sleep(due - now)
        due = max(due + share, monotonic() - 3 * share)
        try:
            await worker.act()
        except (RuntimeError, TimeoutError) as error:
            outcome.ledger.surprises.append(f"{type(error).__name__}: {error}")


async def _kill(platform: Embedded, outcome: Outcome, say: Callable[[str], None]) -> None:
    random = Random(outcome.plan.seed)  # noqa: S311 - a soak can be run again
    begun = monotonic()
    bag: list[str] = []
    while True:
        await asyncio.sleep(outcome.plan.every)
        # Out of a bag: each has its share of kills, in an order nobody knows. Half of the services are killed in the
        # first half of the time, the others in the second: so each lives long enough to show whether it grows.
        if not bag:
            late = monotonic() - begun > outcome.plan.seconds / 2
            victims = [*(SERVICES[1::2] if late else SERVICES[::2]), "redis"]
            bag = random.sample(victims, len(victims))
        victim = bag.pop()
        await asyncio.to_thread(_kill_one, platform, victim)
        outcome.kills[victim] += 1
        done = sum(outcome.ledger.commands.values())
        say(f"killed and restarted {victim}; {done} commands acknowledged so far")


def _kill_one(platform: Embedded, victim: str) -> None:
    if victim == "redis":
        platform.redis.kill()
        platform.redis.start()
    else:
        platform.kill(victim)
        platform.start_service(victim)


async def _heal(story: Story, platform: Embedded, outcome: Outcome, say: Callable[[str], None]) -> None:
    say("healing: nothing is killed any more, and everything is to come to rest")
    await story.ready()
    for what, look in (("all streams are read", story.no_lag), ("all mails have an end", _no_mail_under_way(platform))):
        try:
            await until(what, look, patience=180)
        except SystemExit as error:
            outcome.unhealed.append(str(error))
    await asyncio.sleep(2.0)  # a doubled mail would come now


def _no_mail_under_way(platform: Embedded) -> Callable[[], Any]:
    statement = "SELECT count(*) FROM delivery WHERE state IN ('queued', 'deferred', 'sending')"

    async def look() -> bool | None:
        return Tables(platform.folder).rows("notifications", statement)[0][0] == 0 or None

    return look


def _judge(platform: Embedded, outcome: Outcome, feeds: dict[str, Counter[str]], before: dict[str, int]) -> None:
    tables = Tables(platform.folder)
    outcome.verdict = judge(outcome.ledger, tables, platform.redis.url, feeds, before)
    judge_mails(outcome.verdict, outcome.ledger, tables, platform.mails())
    parked = json.loads(platform.album("parked", "list", "--json"))
    outcome.verdict.figures["parked"] = sum(row["messages"] for row in parked)


def report(outcome: Outcome) -> dict[str, Any]:
    """Give what a soak brought as JSON."""
    verdict = outcome.verdict
    return {
        "good": outcome.is_good,
        "plan": asdict(outcome.plan),
        "seconds": round(outcome.seconds, 1),
        "commands": dict(outcome.ledger.commands),
        "commands_per_s": round(sum(outcome.ledger.commands.values()) / outcome.seconds, 1),
        "messages_per_s": round(verdict.figures.get("messages", 0) / outcome.seconds, 1),
        "retries": dict(outcome.ledger.retries),
        "kills": dict(outcome.kills),
        "lost": sum(verdict.lost.values()),
        "doubled": sum(verdict.doubled.values()),
        "examples": verdict.examples,
        "surprises": outcome.ledger.surprises[:10],
        "unhealed": outcome.unhealed,
        "figures": verdict.figures,
        "grown": outcome.grown,
        "rss_mib": {name: _shown(life) for name, life in outcome.memory.items()},
        "handles": {name: _shown(life) for name, life in outcome.handles.items()},
    }


def _rss(sample: Sample) -> float:
    return sample.rss


def _handles(sample: Sample) -> float:
    return sample.handles


def _grew(life: Life | None) -> bool:
    return life is not None and life.flat is False


def _shown(life: Life | None) -> dict[str, Any] | None:
    if life is None:
        return None
    return {
        name: found if isinstance(found, bool) or found is None else round(found, 1)
        for name, found in asdict(life).items()
    }


def _print_table(told: dict[str, Any], say: Callable[[str], None]) -> None:
    say(f"{told['seconds']} s, {told['commands_per_s']} commands/s, {told['messages_per_s']} messages/s")
    say(f"kills {told['kills']}, lost {told['lost']}, doubled {told['doubled']}, figures {told['figures']}")
    say("medians in the thirds of each process's longest life:")
    for what, of in (("rss MiB", "rss_mib"), ("handles", "handles")):
        for name, life in told[of].items():
            row = "never old enough"
            if life:
                row = f"{life['first']:>8}{life['second']:>8}{life['last']:>8}  most {life['most']}"
                row += f" in {life['seconds']:.0f} s, flat: {life['flat']}"
            say(f"  {what:<9}{name:<15}{row}")
    for line in (*told["examples"], *told["surprises"], *told["unhealed"], *told["grown"]):
        say(f"  {line}")


def main() -> None:
    """Run it on embedded servers in `var/soak` and write `var/soak.json`; ends with 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0, help="commands a second")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--var", type=Path, default=Path("var"))
    wanted = parser.parse_args()
    platform = Embedded((wanted.var / "soak").resolve())
    platform.start()
    try:
        plan = Plan(wanted.minutes * 60, wanted.rate, wanted.kill_every, wanted.seed)
        outcome = asyncio.run(soak(platform, plan, _say))
    finally:
        platform.stop()
    told = report(outcome)
    _print_table(told, _say)
    (wanted.var / "soak.json").write_text(json.dumps(told, indent=1), "utf-8")
    _say(json.dumps(told))
    sys.exit(0 if outcome.is_good else 1)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command that tells what it does


if __name__ == "__main__":
    main()
