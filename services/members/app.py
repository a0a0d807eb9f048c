"""Puts the service members together; the only place that builds things."""

from pathlib import Path
from typing import Any

from services.members import api, consume, store, timers
from services.members.handlers import recovering
from services.members.settings import Settings
from services.members.store import Store
from shared.kit.node import Service
from shared.network.part import NETWORK


def _commands() -> Any:
    from services.members import commands  # noqa: PLC0415 - what draws tables for operators stays out of the service

    return commands.app


service = Service(
    name="members",
    store=Store,
    tables=store.metadata,
    copies=store.COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    takes=consume.takes,
    recover=recovering.take_back,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
    begin=timers.begin,
    commands_in=_commands,
    parts=(NETWORK,),
)
