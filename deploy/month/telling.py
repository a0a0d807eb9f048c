"""What institutions tell in a month: pictures of their runs, over and over, and a sealed message now and then."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count, islice
from typing import Any

import sqlalchemy as sa

from deploy.bench.messages import published
from deploy.simulation.recorder import heard
from services.courses.app import service as courses
from shared.contract.catalogue import CATALOGUE
from shared.contract.courses import RunPublished
from shared.contract.envelope import service_of
from shared.contract.referrals import ReferralAsked, ReferralField
from shared.contract.words import Audience
from shared.kit.clock import Clock, Ids
from shared.kit.hears import Heard, Hears, Route
from shared.kit.work import Work


def pictures(slug: str, things: int) -> Iterator[RunPublished]:
    """Give messages without end: all runs of an institution in turn, each time in a higher version."""
    for version in count(1):
        yield from islice(published([slug], sessions=1, version=version), things)


def asked(slug: str, to: str, ids: Ids, clock: Clock) -> ReferralAsked:
    """Give a message for one institution alone."""
    until = (clock.now() + timedelta(days=180)).date()
    return ReferralAsked(
        institution=slug, version=1, to=to, referral_id=ids.new("ref"), run_id="run_00000000",
        fields=(ReferralField.NAME, ReferralField.MAIL), purpose="a seat", expires_on=until,
    )  # fmt: skip


async def _record(messages: Sequence[Heard], work: Work[Any]) -> None:
    rows = [
        {"stream": one.stream, "epoch": one.entry.position.epoch, "seq": one.entry.position.seq,
         "key": one.message.key, "version": one.message.version}
        for one in messages
    ]  # fmt: skip
    await work.connection.execute(sa.insert(heard), rows)


_RECORD = Route(_record, whole=True, every=True)


def _recording(audience: Audience) -> Hears:
    spoken = {word: kind for word, kind in CATALOGUE.items() if service_of(kind) == courses.name}
    return Hears({word: _RECORD for word, kind in spoken.items() if kind.audience is audience})


PUBLIC = courses.hears.and_also(_recording(Audience.NETWORK))
SEALED = _recording(Audience.SEALED)
"""A box is only written down: what courses would answer belongs to another story."""
