"""A restored backup of events: meetings are again what the network was told of them."""

from services.events.handlers import recovering
from shared.contract.events import MeetingPublished
from shared.contract.samples import sample
from tests.integration.events.events_house import OWNER, House


def _message(version: int, **changes: object) -> MeetingPublished:
    body = sample(MeetingPublished)
    picture = {**body["picture"], "state": "published", **changes}
    return MeetingPublished.model_validate({**body, "institution": OWNER, "version": version, "picture": picture})


async def test_a_lost_meeting_and_its_series_come_back_and_an_older_word_moves_nothing(house: House) -> None:
    """The newest told state counts, whatever comes behind it."""
    newest = _message(7, title="Blickwechsel 2027")
    async with house.works() as work:
        await recovering.take_back([newest], work)
        await recovering.take_back([_message(6, title="alt")], work)
    async with house.works.looking() as store:
        meeting = await store.meeting(newest.key, OWNER)
        assert (meeting.title, meeting.version) == ("Blickwechsel 2027", 7)
        if newest.picture.series_id:
            assert (await store.one_series(newest.picture.series_id, OWNER)).institution == OWNER
    async with house.works() as work:
        await recovering.take_back([_message(8, title="neu")], work)
        assert (await work.store.meeting(newest.key)).title == "neu"
