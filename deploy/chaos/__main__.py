"""`make chaos`: rounds of faults by a seed, then all is healed, and must be as if nothing had been."""

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import httpx
import redis

from deploy.chaos import deep
from deploy.chaos.demands import Picture, Verdict, compare, is_quiet, look_at_borders, look_at_streams, picture_of
from deploy.chaos.faults import FAULTS, Hand
from deploy.chaos.network import Hurtful
from deploy.nodes.node import OFFICE

FOLDER = Path("var/chaos")
REPORT = Path("var/chaos.json")
PATIENCE = 180.0


class Chaos:
    """One whole run: begin, hurt, heal, demand."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = Random(options.seed)
        self.network = Hurtful(options.folder)
        self.rounds: list[dict[str, Any]] = []
        self.begun = time.monotonic()

    async def run(self) -> dict[str, Any]:
        """Do it; gives the report."""
        self.say(f"seed {self.options.seed}: three nodes and a hub start")
        await asyncio.to_thread(self.network.start)
        where = "network namespaces" if self.network.in_spaces else "cut lines (no right to make network namespaces)"
        self.say(f"partitions by {where}")
        async with httpx.AsyncClient(timeout=20) as http:
            await self.network.found(http, self.random)
            await self._hurt()
        self.say(f"all is mended; {self.network.ledger.total} commands were acknowledged")
        healing = time.monotonic()
        pictures = await self._healed()
        report = {"caught_up_seconds": round(time.monotonic() - healing, 1), "partitions_by": where}
        return report | await asyncio.to_thread(self._demand, pictures)

    async def _hurt(self) -> None:
        writers = [asyncio.create_task(one.work()) for one in self.network.writers.values()]
        hand = Hand(self.network, self.random, self.options.behind)
        until = time.monotonic() + self.options.seconds
        try:
            for name in self._order():
                if time.monotonic() > until:
                    self.say(f"time is up after {len(self.rounds)} rounds")
                    break
                await self._round(name, hand)
                _nobody_fell(writers)
            for node in self.network.places():
                await asyncio.to_thread(node.wait_alive)
            await asyncio.sleep(1.0)
            _nobody_fell(writers)
        finally:
            for one in self.network.writers.values():
                one.stopping = True
            await asyncio.wait(writers, timeout=PATIENCE)
        _nobody_fell(writers)

    async def _round(self, name: str, hand: Hand) -> None:
        began, told = time.monotonic(), self.network.ledger.total
        done = await FAULTS[name](hand)
        took, told = round(time.monotonic() - began, 1), self.network.ledger.total - told
        self.rounds.append({"fault": name, **done, "acknowledged": told})
        self.say(f"{name} {done} ({took} s, {told} commands meanwhile)")
        await hand.under_it(0.5, 2.0)

    def _order(self) -> list[str]:
        """Give the faults of the rounds: each kind once before any comes again."""
        if self.options.only:
            return [self.random.choice(self.options.only) for _ in range(self.options.rounds)]
        order: list[str] = []
        while len(order) < self.options.rounds:
            order += self.random.sample(sorted(FAULTS), len(FAULTS))
        return order[: self.options.rounds]

    async def _healed(self) -> dict[str, Picture]:
        """Wait until all is read everywhere and all nodes see the same; gives what they see, equal or not."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                quiet = await asyncio.to_thread(is_quiet, self.network.places())
                pictures = {s: await asyncio.to_thread(picture_of, n) for s, n in self.network.nodes.items()}
                verdict = Verdict()
                compare(pictures, self.network.ledger, verdict)
                if quiet and not verdict.words:
                    # A stream that nobody writes is back on a wiped hub only at its link's next look.
                    await asyncio.to_thread(look_at_streams, self.network.nodes, self.network.nodes[OFFICE], verdict)
                if (quiet and not verdict.words) or time.monotonic() > until:
                    done = quiet and not verdict.words
                    self.say("all is read everywhere" if done else "not all is equal, but time is up")
                    return pictures
            except (httpx.HTTPError, redis.RedisError):
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(0.5)

    def _demand(self, pictures: dict[str, Picture]) -> dict[str, Any]:
        verdict, ledger, nodes = Verdict(), self.network.ledger, self.network.nodes
        compare(pictures, ledger, verdict)
        ends = look_at_streams(nodes, nodes[OFFICE], verdict)
        look_at_borders(nodes, verdict)
        _new_epochs(self.rounds, ends, verdict)
        kinds = [kind for kind, _, _ in ledger.told.values()]
        return {
            "seed": self.options.seed,
            "seconds": round(time.monotonic() - self.begun, 1),
            "rounds": self.rounds,
            "acknowledged": dict(ledger.acknowledged),
            "unanswered": ledger.unanswered,
            "refused": ledger.refused,
            "things": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
            "equal_things": len(next(iter(pictures.values()))),
            "ends": ends,
            **verdict.counts(),
            "wrong": verdict.words[:50],
        }

    def say(self, words: str) -> None:
        """Say what happens."""
        print(f"{time.monotonic() - self.begun:6.1f} s  {words}", flush=True)


def _new_epochs(rounds: list[dict[str, Any]], ends: dict[str, str], verdict: Verdict) -> None:
    """A restored node's streams must stand in a newer epoch, if they have told anything since."""
    for one in rounds:
        for stream, before in one.get("ends", {}).items():
            now = ends.get(stream, "0-0")
            if now != before and int(now.split("-")[0]) <= int(before.split("-")[0]):
                verdict.gaps.append(f"{stream}: went on at {now} in the epoch of {before}, which was restored")


def _nobody_fell(writers: list[asyncio.Task[None]]) -> None:
    for task in writers:
        if task.done():
            task.result()


def main() -> int:
    """Run it; gives 0 if nothing was lost, doubled or left unequal."""
    options = _options()
    chaos = Chaos(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started has to end, too
    try:
        report = asyncio.run(chaos.run())
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            chaos.network.stop()
    if options.deep:
        report["deep"] = deep.run(options.seed, chaos.say)
        report["wrong"] += deep.wrong(report["deep"])
    line = json.dumps(report)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(line + "\n", "utf-8")
    print(line)
    return 1 if report["wrong"] or report["refused"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=len(FAULTS), help="how many faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="the same faults again")
    parser.add_argument("--seconds", type=float, default=300.0, help="no new round after that")
    parser.add_argument("--behind", type=int, default=500, help="how many commands a restored backup is old")
    parser.add_argument("--only", nargs="+", choices=sorted(FAULTS), help="only these kinds")
    parser.add_argument("--deep", action="store_true", help="also 200 rounds of lost files, and a death at each send")
    parser.add_argument("--folder", type=Path, default=FOLDER.resolve())
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
