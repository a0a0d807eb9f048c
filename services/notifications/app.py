"""The wiring of notifications: the only place that puts it together."""

from pathlib import Path

from services.notifications import api, commands, consume, store, timers
from services.notifications.settings import Settings
from shared.kit.node import Service

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
    commands=commands.app,
)
