"""Webhooks in SQL: what institutions asked for, their sealed secrets, and how their addresses answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.push import PushState
from services.notifications.domain.webhook import Circuit, Listener, Signing, Webhook, WebhookState
from services.notifications.store.tables import push, push_attempt, webhook, webhook_secret
from shared.kit import tables as kit
from shared.kit.database import insert
from shared.kit.matching import matched
from shared.kit.streams import Position

_FIXED = ("id", "institution", "url", "made_at", "reason")
_CIRCUIT = ("failures", "failing_since", "open_until")
LOOKED_AT = 500
_LOCK = 0x616C62756D  # "album": one webhook is made at a time, so that only the first one begins the reading
# Written out, not bound: only then both databases use the partial indexes.
_WAITING = sa.text("push.state = 'waiting'")
_SENDING = sa.text("push.state = 'sending'")


@dataclass(frozen=True)
class Ready:
    """A webhook with something due, and how many more attempts may be made at once."""

    webhook: Webhook
    room: int


class Webhooks:
    """Loads and keeps webhooks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def any(self) -> bool:
        """Tell whether anybody wants to be pushed to."""
        return (await self.connection.execute(sa.select(webhook.c.id).limit(1))).first() is not None

    async def lock_making(self) -> None:
        """Have whoever else makes a webhook wait; on SQLite there is only one writer anyway."""
        if self.connection.dialect.name == "postgresql":
            await self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))

    async def read_from(self, ends: Mapping[str, Position]) -> None:
        """Begin reading streams at their ends: what came before the first webhook is nobody's to get."""
        rows = [{"stream": name, "epoch": at.epoch, "seq": at.seq, "attempts": 0} for name, at in ends.items()]
        if not rows:
            return
        statement = insert(self.connection, kit.cursor)
        new, old = statement.excluded, kit.cursor.c
        later = sa.tuple_(new.epoch, new.seq) > sa.tuple_(old.epoch, old.seq)
        changes = {"epoch": new.epoch, "seq": new.seq, "attempts": 0}
        await self.connection.execute(
            statement.on_conflict_do_update(index_elements=["stream"], set_=changes, where=later), rows
        )

    async def listeners(self) -> list[Listener]:
        """Give who listens; until the end of the transaction none of them can be removed."""
        query = sa.select(webhook.c.id, webhook.c.types, webhook.c.institutions, webhook.c.begins)
        query = query.where(webhook.c.state != WebhookState.disabled.value).order_by(webhook.c.id)
        found = await self.connection.execute(query.with_for_update(read=True, key_share=True))
        return [
            Listener(
                row.id,
                _tuple(row.types),
                _tuple(row.institutions),
                {name: (at[0], at[1]) for name, at in row.begins.items()},
            )
            for row in found
        ]

    async def webhook(self, id: str, institution: str | None = None, *, lock: bool = False) -> Webhook | None:
        """Load one webhook; with an institution, only that institution's."""
        query = sa.select(webhook).where(webhook.c.id == id)
        query = query if institution is None else query.where(webhook.c.institution == institution)
        row = (await self.connection.execute(query.with_for_update(key_share=True) if lock else query)).first()
        if row is None:
            return None
        return matched(_webhook_of(row)) if lock else _webhook_of(row)

    async def of(self, institution: str | None) -> list[Webhook]:
        """Load the webhooks of an institution, or all: a handful each."""
        query = sa.select(webhook).order_by(webhook.c.institution, webhook.c.id)
        query = query if institution is None else query.where(webhook.c.institution == institution)
        return [_webhook_of(row) for row in await self.connection.execute(query)]

    async def add(self, new: Webhook, begins: Mapping[str, Position]) -> None:
        """Keep a new webhook, with the positions behind which it listens."""
        starts = {name: [at.epoch, at.seq] for name, at in begins.items()}
        row = {"id": new.id, "institution": new.institution, "made_at": new.made_at, "begins": starts, "failures": 0}
        await self.connection.execute(sa.insert(webhook).values(**row, **_row_of(new)))

    async def keep(self, changed: Webhook) -> None:
        """Keep a webhook as it is now."""
        await self.connection.execute(sa.update(webhook).where(webhook.c.id == changed.id).values(_row_of(changed)))

    async def remove(self, id: str) -> None:
        """Drop a webhook with all that was to be pushed to it."""
        theirs = sa.select(push.c.id).where(push.c.webhook_id == id)
        await self.connection.execute(sa.select(webhook.c.id).where(webhook.c.id == id).with_for_update())
        await self.connection.execute(sa.delete(push_attempt).where(push_attempt.c.push_id.in_(theirs)))
        for table in (push, webhook_secret):
            await self.connection.execute(sa.delete(table).where(table.c.webhook_id == id))
        await self.connection.execute(sa.delete(webhook).where(webhook.c.id == id))

    async def circuit(self, id: str, *, lock: bool = False) -> Circuit | None:
        """Load how an address has been answering."""
        query = sa.select(*(webhook.c[name] for name in _CIRCUIT)).where(webhook.c.id == id)
        row = (await self.connection.execute(query.with_for_update(key_share=True) if lock else query)).first()
        return None if row is None else Circuit(**row._mapping)

    async def keep_circuit(self, id: str, circuit: Circuit) -> None:
        """Keep how an address answers."""
        await self.connection.execute(sa.update(webhook).where(webhook.c.id == id).values(**vars(circuit)))

    async def ready(self, now: datetime) -> list[Ready]:
        """Give active webhooks with something due and room for it, the longest waiting first."""
        theirs = push.c.webhook_id == webhook.c.id
        due = sa.select(push.c.not_before).where(theirs, _WAITING, push.c.not_before <= now)
        oldest = due.order_by(push.c.not_before).limit(1).correlate(webhook).scalar_subquery()
        under_way = sa.select(sa.func.count()).where(theirs, _SENDING).correlate(webhook).scalar_subquery()
        closed = webhook.c.open_until.is_(None) | (webhook.c.open_until <= now)
        query = sa.select(webhook, under_way.label("under_way")).where(
            webhook.c.state == WebhookState.active.value, closed, oldest.is_not(None)
        )
        found = await self.connection.execute(query.order_by(oldest).limit(LOOKED_AT))
        all_of_them = [Ready(_webhook_of(row), _circuit_of(row).room - row.under_way) for row in found]
        return [one for one in all_of_them if one.room > 0]

    async def secrets(self, id: str, now: datetime) -> list[bytes]:
        """Load the sealed secrets that sign now, the newest first."""
        lasting = webhook_secret.c.until.is_(None) | (webhook_secret.c.until > now)
        query = sa.select(webhook_secret.c.sealed).where(webhook_secret.c.webhook_id == id, lasting)
        found = await self.connection.execute(query.order_by(webhook_secret.c.number.desc()))
        return [bytes(row.sealed) for row in found]

    async def public_keys(self, id: str, now: datetime) -> list[str]:
        """Load the public keys that signatures are checked with now, the newest first."""
        lasting = webhook_secret.c.until.is_(None) | (webhook_secret.c.until > now)
        query = sa.select(webhook_secret.c.public_key).where(
            webhook_secret.c.webhook_id == id, lasting, webhook_secret.c.public_key.is_not(None)
        )
        return list((await self.connection.execute(query.order_by(webhook_secret.c.number.desc()))).scalars())

    async def add_secret(self, id: str, sealed: bytes, public_key: str | None, *, now: datetime, old: datetime) -> None:
        """Keep a new secret; the one before signs along until `old`, and what is over goes."""
        mine = webhook_secret.c.webhook_id == id
        newest = sa.select(sa.func.coalesce(sa.func.max(webhook_secret.c.number), 0)).where(mine)
        number = (await self.connection.execute(newest)).scalar_one() + 1
        await self.connection.execute(sa.delete(webhook_secret).where(mine, webhook_secret.c.until <= now))
        lasting = sa.update(webhook_secret).where(mine, webhook_secret.c.until.is_(None))
        await self.connection.execute(lasting.values(until=old))
        row = {"webhook_id": id, "number": number, "sealed": sealed, "public_key": public_key}
        await self.connection.execute(sa.insert(webhook_secret).values(row))

    async def overfull(self, most: int) -> list[Webhook]:
        """Give and lock webhooks for which more waits than is kept for anybody."""
        waiting = sa.select(push.c.webhook_id).where(push.c.state == PushState.waiting.value)
        crowded = waiting.group_by(push.c.webhook_id).having(sa.func.count() > most)
        query = sa.select(webhook).where(webhook.c.id.in_(crowded), webhook.c.state != WebhookState.disabled.value)
        return [_webhook_of(row) for row in await self.connection.execute(query.with_for_update(key_share=True))]


def _webhook_of(row: sa.Row[Any]) -> Webhook:
    return Webhook(
        types=_tuple(row.types),
        institutions=_tuple(row.institutions),
        signing=Signing(row.signing),
        state=WebhookState(row.state),
        **{name: getattr(row, name) for name in _FIXED},
    )


def _circuit_of(row: sa.Row[Any]) -> Circuit:
    return Circuit(**{name: getattr(row, name) for name in _CIRCUIT})


def _row_of(one: Webhook) -> dict[str, Any]:
    return {
        "url": one.url,
        "types": one.types and list(one.types),
        "institutions": one.institutions and list(one.institutions),
        "signing": one.signing.value,
        "state": one.state.value,
        "reason": one.reason,
    }


def _tuple(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)
