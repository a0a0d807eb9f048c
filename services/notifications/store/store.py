"""The store of notifications: contacts, places, pictures, suppressed addresses, pauses; all else is beside it."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.checking import Contact
from services.notifications.domain.delivery import OPEN, State
from services.notifications.domain.occasions import Picture
from services.notifications.store.deliveries import Deliveries
from services.notifications.store.pushes import Pushes
from services.notifications.store.rows import contact_of, picture_of, picture_row
from services.notifications.store.tables import attempt, contact, delivery, pause, picture, subject, suppression
from services.notifications.store.webhooks import Webhooks
from shared.kit import tables as kit
from shared.kit.database import insert, upsert


class Store:
    """Loads and keeps what notifications knows."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.deliveries = Deliveries(connection)
        self.webhooks = Webhooks(connection)
        self.pushes = Pushes(connection)

    async def contact(self, institution: str, participant_id: str) -> Contact | None:
        """Load how a participant is reached."""
        query = sa.select(contact).where(
            contact.c.institution == institution, contact.c.participant_id == participant_id
        )
        row = (await self.connection.execute(query)).first()
        return None if row is None else contact_of(row)

    async def leaving(self) -> list[Contact]:
        """Load those who are forgotten when their last mails have left."""
        query = sa.select(contact).where(contact.c.forget_at.is_not(None)).order_by(contact.c.forget_at).limit(200)
        return [contact_of(row) for row in await self.connection.execute(query)]

    async def keep_contact(self, known: Contact) -> None:
        """Keep a contact unless a newer one, or its erasure, is there."""
        await upsert(self.connection, contact, [vars(known)])

    async def erase_contact(self, institution: str, participant_id: str, version: int) -> None:
        """Leave an empty mark in place of a contact, whichever version it has: only a newer contact takes its place."""
        known = await self.contact(institution, participant_id)
        newest = max(version, known.version) if known else version
        empty = Contact(institution, participant_id, newest, erased=True)
        await upsert(self.connection, contact, [vars(empty)], newer=None)

    async def version_of(self, institution: str, subject_id: str) -> int:
        """Give the newest version heard of a place, 0 if none."""
        query = sa.select(subject.c.version).where(
            subject.c.institution == institution, subject.c.subject_id == subject_id
        )
        return (await self.connection.execute(query)).scalar_one_or_none() or 0

    async def keep_version(self, institution: str, subject_id: str, version: int) -> None:
        """Keep which version of a place was heard."""
        row = {"institution": institution, "subject_id": subject_id, "version": version}
        await upsert(self.connection, subject, [row])

    async def keep_picture(self, institution: str, shown: Picture, now: datetime) -> None:
        """Keep what letters show of an occasion, once for everybody."""
        row = {
            "institution": institution,
            "digest": shown.digest,
            "occasion_id": shown.occasion_id,
            "shown": picture_row(shown),
            "kept_at": now,
        }
        statement = insert(self.connection, picture).values(row)
        await self.connection.execute(
            statement.on_conflict_do_update(index_elements=["institution", "digest"], set_={"kept_at": now})
        )

    async def picture(self, institution: str, digest: str) -> Picture:
        """Load what letters show of an occasion."""
        query = sa.select(picture).where(picture.c.institution == institution, picture.c.digest == digest)
        return picture_of((await self.connection.execute(query)).one())

    async def institution_name(self, slug: str) -> str:
        """Give the name of an institution; its slug where the name has not come yet."""
        query = sa.select(kit.institution.c.name).where(kit.institution.c.slug == slug)
        return (await self.connection.execute(query)).scalar_one_or_none() or slug

    async def suppressed_for(self, fingerprint: str, now: datetime) -> str | None:
        """Give why an address is left alone, None if it is not."""
        lasting = suppression.c.until.is_(None) | (suppression.c.until > now)
        query = sa.select(suppression.c.reason).where(suppression.c.fingerprint == fingerprint, lasting)
        return (await self.connection.execute(query)).scalar_one_or_none()

    async def suppress(
        self, fingerprint: str, known: Contact, reason: str, now: datetime, until: datetime | None
    ) -> None:
        """Leave an address alone from now on."""
        row = {
            "fingerprint": fingerprint,
            "institution": known.institution,
            "participant_id": known.participant_id,
            "reason": reason,
            "since": now,
            "until": until,
        }
        await upsert(self.connection, suppression, [row], newer=None)

    async def unsuppress(self, institution: str, participant_id: str) -> None:
        """Write to a participant's addresses again."""
        await self.connection.execute(
            sa.delete(suppression).where(
                suppression.c.institution == institution, suppression.c.participant_id == participant_id
            )
        )

    async def pauses(self, now: datetime) -> dict[str, str]:
        """Give what is paused and why, by scope: `sender`, or `kind:<kind>`."""
        found = await self.connection.execute(sa.select(pause.c.scope, pause.c.reason).where(pause.c.until > now))
        return {row.scope: row.reason for row in found}

    async def pause(self, scope: str, reason: str, now: datetime, until: datetime) -> None:
        """Stop sending for a while."""
        row = {"scope": scope, "reason": reason, "since": now, "until": until}
        await upsert(self.connection, pause, [row], newer=None)

    async def unpause(self, *scopes: str) -> None:
        """Send again."""
        await self.connection.execute(sa.delete(pause).where(pause.c.scope.in_(scopes)))

    async def forget_person(self, institution: str, participant_id: str) -> None:
        """Take out of all deliveries what says who the person is; the rows stay, so that the counts do."""
        theirs = (delivery.c.institution == institution) & (delivery.c.participant_id == participant_id)
        await self._blank_answers(theirs)
        await self._blank(theirs, address=None, body=None, facts={}, forgotten=True)
        await self.unsuppress(institution, participant_id)

    async def forget_old(self, bodies_before: datetime, addresses_before: datetime) -> None:
        """Take out what is kept no longer: first bytes and facts, later addresses and answers."""
        over = delivery.c.state.not_in(sorted(state.value for state in OPEN))
        first = over & delivery.c.forgotten.is_(False) & (delivery.c.changed_at < bodies_before)
        await self._blank(first, body=None, facts={}, forgotten=True)
        later = over & delivery.c.address.is_not(None) & (delivery.c.changed_at < addresses_before)
        await self._blank_answers(later)
        await self._blank(later, address=None)
        await self._drop_pictures(bodies_before)

    async def _blank(self, condition: sa.ColumnElement[bool], **values: Any) -> None:
        await self.connection.execute(sa.update(delivery).where(condition).values(**values))

    async def _blank_answers(self, condition: sa.ColumnElement[bool]) -> None:
        ids = sa.select(delivery.c.id).where(condition)
        await self.connection.execute(sa.update(attempt).where(attempt.c.delivery_id.in_(ids)).values(answer=None))

    async def _drop_pictures(self, before: datetime) -> None:
        # Where no body is left, nothing is rendered again: its picture is needed only by what may still leave.
        needed = sa.exists().where(
            delivery.c.institution == picture.c.institution,
            delivery.c.picture == picture.c.digest,
            delivery.c.state.in_(sorted(state.value for state in OPEN)) | (delivery.c.changed_at >= before),
        )
        await self.connection.execute(sa.delete(picture).where(picture.c.kept_at < before, ~needed))

    async def assume_delivered(self, before: datetime) -> None:
        """Take as delivered what was handed over before a moment and never came back."""
        # `changed_at` stays the moment of the handing over: retention counts from there.
        await self.connection.execute(
            sa.update(delivery)
            .where(delivery.c.state == State.handed_over.value, delivery.c.changed_at < before)
            .values(state=State.assumed_delivered.value)
        )

    async def drop_ended(self, now: datetime) -> None:
        """Drop pauses and suppressions that are over."""
        for table in (pause, suppression):
            await self.connection.execute(sa.delete(table).where(table.c.until < now - timedelta(days=1)))
