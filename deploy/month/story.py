"""The story of the month: all lines are cut, everybody tells, time passes, the lines come back, and all is judged."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.month.hands import Hand
from deploy.month.hub import MonthHub
from deploy.month.place import SERVICE, DaysClock
from shared.kit.clock import monotonic
from shared.network.names import box_stream, pub_stream

EACH = 0.25


@dataclass
class Story:
    """A hub and its nodes; `messages` of each institution while the lines are cut for `days`, a look at `every` few."""

    hub: MonthHub
    hands: Sequence[Hand]
    messages: int
    days: int = 31
    every: int = 1
    patience: float = 900.0
    healing: float = 900.0
    clock: DaysClock = field(default_factory=DaysClock)
    told: dict[str, int] = field(default_factory=dict)

    async def tell(self) -> dict[str, Any]:
        """Have it happen; gives the figures, and under `wrong` what must not be."""
        await self.hub.sign(self.clock.now())
        await self._publish(1)
        await self._until_equal()
        await self._cut()
        seconds = await self._month()
        found = await self._mend()
        return {**found, "seconds_of_the_month": seconds}

    async def _all(self, what: str, *arguments: Any) -> list[Any]:
        return await asyncio.gather(*(hand.ask(what, *arguments) for hand in self.hands))

    async def _publish(self, count: int) -> None:
        await self._all("publish", count)
        for hand in self.hands:
            stream = pub_stream(hand.slug, SERVICE)
            self.told[stream] = self.told.get(stream, 0) + count

    async def _seal(self, senders: Sequence[Hand], receivers: Sequence[Hand]) -> None:
        for sender in senders:
            for receiver in receivers:
                if sender is not receiver:
                    await sender.ask("seal", receiver.slug)
                    stream = box_stream(receiver.slug, sender.slug)
                    self.told[stream] = self.told.get(stream, 0) + 1

    @property
    def _early(self) -> Sequence[Hand]:
        """Name those who are cut first and come back last."""
        return self.hands[::2]

    @property
    def _late(self) -> Sequence[Hand]:
        return self.hands[1::2]

    async def _cut(self) -> None:
        """Cut half of the lines, have the others seal something for those, then cut the rest; then the other way."""
        for hand in self._early:
            hand.cut()
        await self._seal(self._late, self._early)
        await self._until(self._boxes_on_hub)
        for hand in self._late:
            hand.cut()
        await self._seal(self._early, self._late)

    async def _boxes_on_hub(self) -> bool:
        boxes = [box_stream(to.slug, sender.slug) for to in self._early for sender in self._late]
        return await self.hub.ends(boxes) == [1] * len(boxes)

    async def _month(self) -> float:
        began = monotonic()
        before = 0
        for day in sorted({*range(self.every, self.days, self.every), self.days}):
            self.clock.days = day
            await self.hub.sign(self.clock.now())
            await self._publish(self.messages * day // self.days - self.messages * before // self.days)
            await self._all("day", day)
            before = day
        await self._until(self._read_own)
        return round(monotonic() - began, 1)

    async def _read_own(self) -> bool:
        far = await self._all("far")
        own = [pub_stream(hand.slug, SERVICE) for hand in self.hands]
        return all(one.get(stream) == self.told[stream] for one, stream in zip(far, own, strict=True))

    async def _mend(self) -> dict[str, Any]:
        """Mend half of the lines, have what is old go there, mend the rest, and wait until all is read everywhere."""
        before = await self._all("found")
        equal_before = len({one["table"] for one in before}) == 1
        began = monotonic()
        for hand in self._late:
            hand.mend()
        await asyncio.gather(*(hand.ask("trim") for hand in self._late))
        for hand in self._early:
            hand.mend()
        caught_up = await self._until(self._is_equal, self.healing)
        seconds = round(monotonic() - began, 1)
        await self._until(self._is_calm, self.healing)
        found = await self._all("found")
        wrong = [] if caught_up else [f"not caught up after {self.healing:.0f} seconds"]
        if equal_before and self.messages:
            wrong.append("all were equal before the lines came back: nothing was cut")
        for hand, one in zip(self.hands, found, strict=True):
            wrong += judged(hand.slug, self.told, one)
        for what in ("table", "states"):
            if len({one[what] for one in found}) != 1:
                wrong.append(f"the {what} of the nodes differ")
        cpu = [round(one["cpu"] - was["cpu"], 1) for one, was in zip(found, before, strict=True)]
        return {**self._figures(found), "seconds": seconds, "cpu_seconds_of_a_node": cpu, "wrong": wrong}

    def _figures(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        nodes = len(self.hands)
        return {
            "nodes": nodes,
            "days": self.days,
            "told_by_each": self.messages,
            "taken_by_each": self.messages * (nodes - 1),
            "taken_in_all": self.messages * (nodes - 1) * nodes,
            "boxes": sum(count for name, count in self.told.items() if ":box:" in name),
            "equal_hashes": max(self._count([one["table"] + one["states"] for one in found])),
        }

    def _count(self, hashes: Sequence[str]) -> list[int]:
        return [hashes.count(one) for one in hashes]

    async def _is_equal(self) -> bool:
        far = await self._all("far")
        wanted = [_wanted_of(hand.slug, self.told) for hand in self.hands]
        return all(want.items() <= one.items() for want, one in zip(wanted, far, strict=True))

    async def _is_calm(self) -> bool:
        return not any(one["stopped"] for one in await self._all("found"))

    async def _until_equal(self) -> None:
        if not await self._until(self._is_equal):
            raise SystemExit("the nodes do not come together before anything is cut")

    async def _until(self, holds: Any, seconds: float | None = None) -> bool:
        until = monotonic() + (seconds or self.patience)
        while not await holds():
            if monotonic() > until:
                return False
            await asyncio.sleep(EACH)
        return True


def _wanted_of(slug: str, told: Mapping[str, int]) -> dict[str, int]:
    mine = f":box:{{{slug}}}:"
    return {name: count for name, count in told.items() if ":pub:" in name or mine in name}


def judged(slug: str, told: Mapping[str, int], found: Mapping[str, Any]) -> list[str]:
    """Say what is wrong at a node: each message must have been used once and in order, nothing refused or waiting."""
    wrong = []
    for stream, count in _wanted_of(slug, told).items():
        heard = found["heard"].get(stream, {"used": 0, "last": 0, "astray": 0})
        if heard != {"used": count, "last": count, "astray": 0}:
            wrong.append(f"{slug} used {heard} of the {count} messages of {stream}")
    wrong += [f"{slug} refused {one}" for one in found["refused"]]
    wrong += [f"{slug} parked {found['parked']} messages"] if found["parked"] else []
    return wrong + [f"{slug} waits: {stream}: {why}" for stream, why in found["stopped"].items()]
