"""The wiring of the service; the only place that builds things."""

from pathlib import Path

from services.courses import api, commands, consume, timers
from services.courses.settings import Settings
from services.courses.store import COPIES, Store, metadata
from shared.kit.node import Service

service: Service = Service(
    name="courses",
    store=Store,
    tables=metadata,
    copies=COPIES,
    migrations=Path(__file__).with_name("migrations"),
    hears=consume.hears,
    takes=consume.takes,
    api=api.router,
    settings=Settings,
    timers=timers.TIMERS,
    commands=commands.app_for(lambda: service),
)
