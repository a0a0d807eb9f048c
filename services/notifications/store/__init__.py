"""The only SQL of notifications."""

from services.notifications.store.store import Store
from services.notifications.store.tables import metadata

COPIES = ()

__all__ = ["COPIES", "Store", "metadata"]
