"""A process that answers one POST with an Idempotency-Key, and may be ended at a chosen moment."""

import asyncio
import os
import signal
import sys
from typing import Any

from shared.kit.idempotency import Once, _Held
from tests.integration.kit.partner_app import opened

THINGS = "/institutions/awo/things"


def _end(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _be_ended(moment: str) -> None:
    keep = Once.keep

    async def kept_then_ended(self: Once, answer: _Held) -> None:
        await keep(self, answer)
        _end()

    async def apart(self: Once, answer: _Held) -> None:
        """Commit the effect alone, as a service would that keeps keys in a transaction of their own."""
        await self.stack.aclose()
        _end()

    if moment == "before the commit":
        Once.keep = kept_then_ended  # type: ignore[method-assign] # the process ends here
    elif moment == "after the commit":
        _Held.give = _end  # type: ignore[assignment,method-assign] # the process ends here
    elif moment == "between two commits":
        Once.keep = apart  # type: ignore[method-assign] # the control


async def _ask(url: str, moment: str) -> None:
    _be_ended(moment)
    async with opened(url) as house:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        answer = await house.api.post(THINGS, json={"n": 1}, headers={"Idempotency-Key": "k"})
        replayed = answer.headers.get("idempotency-replayed", "no")
        sys.stdout.write(f"{answer.status_code} {replayed} {answer.text}\n")


if __name__ == "__main__":
    asyncio.run(_ask(sys.argv[1], sys.argv[2]))
