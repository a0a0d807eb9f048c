"""A sender of webhooks as a process of its own, for tests that kill it: `python -m … <database url>`."""

import asyncio
import sys
from random import SystemRandom

from pydantic import SecretStr

from services.notifications.handlers.receiver import WayOut
from services.notifications.settings import Settings
from services.notifications.store import Store
from services.notifications.timers.couriers import Couriers
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.work import Works
from tests.integration.notifications.webhook_house import SECRET


async def main(url: str) -> None:
    """Push what is due until the process ends."""
    clock, random = SystemClock(), SystemRandom()
    settings = Settings(secret=SecretStr(SECRET), webhook_private=True)
    works = Works(Database(url), Store, clock, Ids(random, clock), settings)
    await Couriers(works, WayOut(private=True, connections=64), 64, "one", random).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
