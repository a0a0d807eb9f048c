"""The only SQL of the service: tables, load, save, views."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa

from services.courses.domain.refusal import Misfit
from services.courses.store.book import SeatBook
from services.courses.store.enrolments import EnrolmentStore, Queued
from services.courses.store.imports import ImportStore
from services.courses.store.network import NetworkStore, Seen, Wanted
from services.courses.store.people import PeopleStore
from services.courses.store.referrals import ReferralStore
from services.courses.store.runs import RunStore
from services.courses.store.tables import COPIES, metadata

__all__ = ["COPIES", "Queued", "SeatBook", "Seen", "Store", "Wanted", "metadata"]


class Store(RunStore, EnrolmentStore, PeopleStore, ImportStore, NetworkStore, ReferralStore):
    """Everything the service keeps."""

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Open a part of the transaction that can fail alone; raises Misfit for values that the database refuses."""
        try:
            async with self.connection.begin_nested():
                yield
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise Misfit(
                "not_keepable", "the database does not take these values, or somebody else just kept them"
            ) from error
