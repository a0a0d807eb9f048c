"""The only SQL of the service: tables, load, save, views."""

from services.events.store.meetings import MeetingStore
from services.events.store.network import NetworkStore, Seen, Wanted
from services.events.store.people import PeopleStore
from services.events.store.registrations import Listed, RegistrationStore
from services.events.store.tables import COPIES, metadata

__all__ = ["COPIES", "Listed", "Seen", "Store", "Wanted", "metadata"]


class Store(MeetingStore, RegistrationStore, PeopleStore, NetworkStore):
    """Everything the service keeps."""
