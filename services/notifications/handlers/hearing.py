"""Keeps what is to be pushed: a row for each message and each webhook that wants it, with the reader's cursor."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from services.notifications.domain.push import Push
from services.notifications.domain.retry import LONGEST
from services.notifications.domain.webhook import Listener, disable
from services.notifications.store import Store
from shared.contract.members import InstitutionLeft
from shared.kit.hears import Heard
from shared.kit.streams import Entry
from shared.kit.work import Work


async def keep_pushes(heard: Sequence[Heard], work: Work[Store]) -> None:
    """Keep each message once for every webhook that listens; who left the network listens no more."""
    for one in heard:
        if isinstance(one.message, InstitutionLeft):
            await _stop(one.message.picture.slug, work)
    listeners = await work.store.webhooks.listeners()
    new = list(_pushes(heard, listeners, work)) if listeners else []
    wanted = {push.message_id for push in new}
    bodies = {message_id(one.entry): (one.message.type, one.entry.payload) for one in heard}
    await work.store.pushes.add({id: bodies[id] for id in wanted}, new, work.now)


async def _stop(institution: str, work: Work[Store]) -> None:
    for one in await work.store.webhooks.of(institution):
        await work.store.webhooks.keep(disable(one, "institution_left"))


def message_id(entry: Entry) -> str:
    """Give the `webhook-id` of an entry: made of its hash, so that it is the same for everybody and for ever."""
    return f"msg_{entry.hash.hex()[:32]}"


def _pushes(heard: Sequence[Heard], listeners: list[Listener], work: Work[Store]) -> Iterator[Push]:
    for at, one in enumerate(heard):
        # Microseconds apart, so that what came together leaves in the order of the stream.
        begins = work.now - timedelta(microseconds=len(heard) - at)
        for listener in listeners:
            if listener.wants(one.stream, one.entry.position, one.message.type, one.message.institution):
                yield new_push(listener.webhook_id, message_id(one.entry), one.message.type, begins, work)


def new_push(webhook_id: str, id: str, type_word: str, now: datetime, work: Work[Store]) -> Push:
    """Make a push that is due now and is tried for 72 hours."""
    return Push(work.ids.new("push"), webhook_id, id, type_word, now, now, now, now + LONGEST)
