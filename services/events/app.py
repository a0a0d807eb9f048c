"""Puts the service events together; the only place that builds things."""

from pathlib import Path

from services.events import api, consume, store, timers
from services.events.handlers import recovering
from services.events.settings import Settings
from services.events.store import Store
from shared.kit.node import Service

service = Service(
    name="events",
    store=Store,
    tables=store.metadata,
    copies=store.COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    takes=consume.takes,
    recover=recovering.take_back,
    retell=recovering.tell_again,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
)
