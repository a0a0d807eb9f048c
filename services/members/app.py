"""Puts the service members together; the only place that builds things."""

from pathlib import Path

from services.members import api, commands, consume, store, timers
from services.members.settings import Settings
from services.members.store import Store
from shared.kit.node import Service

service = Service(
    name="members",
    store=Store,
    tables=store.metadata,
    copies=store.COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    takes=consume.takes,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
    begin=timers.begin,
    commands=commands.app,
)
