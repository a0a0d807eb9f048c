"""The wiring of notifications: the only place that puts it together."""

from pathlib import Path
from typing import Any

from services.notifications import api, consume, store, timers
from services.notifications.settings import Settings
from shared.kit.node import Service


def _commands() -> Any:
    from services.notifications import commands  # noqa: PLC0415 - what draws tables for operators stays out of the service

    return commands.app


service = Service(
    name="notifications",
    store=store.Store,
    tables=store.metadata,
    copies=store.COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
    commands_in=_commands,
)
