"""Whether a log holds all that was told, asked from a start on by reading alone: who does not know may not tell."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from redis.exceptions import RedisError

from shared.kit.clock import Clock, passed
from shared.kit.epochs import PATIENCE, Epochs
from shared.kit.errors import Transient
from shared.kit.streams import START, Position
from shared.kit.witness import WitnessRefuses

STUCK = timedelta(seconds=60)
"""After this long nobody takes back what a witness holds: it is a stranger's, or its line is cut."""
AT_ONCE = 8
_Asked = tuple[str, int]
"""A stream, and the number of the witness that is asked."""


class Knowing:
    """What one start of a service has found out: nothing that was known once is asked again."""

    def __init__(self, epochs: Epochs, clock: Clock) -> None:
        self._epochs = epochs
        self._clock = clock
        self._started = clock.monotonic()
        self._known: set[_Asked] = set()
        self._behind: dict[_Asked, tuple[Position, float]] = {}

    async def all_of(self, streams: Iterable[str]) -> bool:
        """Tell whether our log holds all of some streams, as far as anybody can say."""
        numbers = range(len(self._epochs.witnesses))
        wanted = [(stream, number) for number in numbers for stream in streams]
        silent: set[int] = set()
        few = asyncio.Semaphore(AT_ONCE)

        async def known(asked: _Asked) -> bool:
            async with few:
                return await self._is_known(asked, silent)

        return all(await asyncio.gather(*(known(asked) for asked in wanted if asked not in self._known)))

    async def _is_known(self, asked: _Asked, silent: set[int]) -> bool:
        stream, number = asked
        if self._epochs.is_clear(stream) and not self._epochs.waits_for_the_hub(stream):
            return True  # this copy writes it, and has compared it to do so
        try:
            # One that lets us wait for its silence does so for every stream: one time for all of them is enough.
            held = None if number in silent else await self._is_held(stream, number)
        except WitnessRefuses:
            return True
        except (Transient, RedisError):
            held = None
        if held:
            self._known.add(asked)
            return True
        if held is None:
            silent.add(number)
            if asked not in self._behind:
                return passed(self._clock, self._started) >= PATIENCE
        return await self._is_given_up(asked)

    async def _is_held(self, stream: str, number: int) -> bool | None:
        """Tell whether our log holds what a witness does; None where that one is silent."""
        witness = self._epochs.witnesses[number]
        head = await witness.head(stream)
        if head is None:
            return None
        if head.position == START:
            return True
        ours = await self._epochs.end_of_log(stream)
        if await self._epochs.has_all(stream, head, ours):
            return True
        if head.position < ours or await self._epochs.epoch_of(stream) <= head.position.epoch:
            return False
        # What is left cannot come back: it was removed, or it is a box's. The next epoch stands behind it already.
        return not any(entry.payload for entry in await witness.read(stream, ours, AT_ONCE))

    async def _is_given_up(self, asked: _Asked) -> bool:
        """Tell whether our log has not moved for long towards what a witness was seen to hold."""
        ours, now = await self._epochs.end_of_log(asked[0]), self._clock.monotonic()
        before, since = self._behind.get(asked, (None, now))
        if before == ours and not self._epochs.is_taking:
            return passed(self._clock, since) >= STUCK
        self._behind[asked] = ours, now
        return False
