"""The wiring of the service; the only place that builds things."""

from pathlib import Path
from typing import Any

from services.courses import api, consume, timers
from services.courses.handlers import recovering
from services.courses.settings import Settings
from services.courses.store import COPIES, Store, metadata
from shared.kit.node import Service


def _commands() -> Any:
    from services.courses import commands  # noqa: PLC0415 - what draws tables for operators stays out of the service

    return commands.app_for(lambda: service)


service: Service = Service(
    name="courses",
    store=Store,
    tables=metadata,
    copies=COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    takes=consume.takes,
    recover=recovering.take_back,
    retell=recovering.tell_again,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
    commands_in=_commands,
)
