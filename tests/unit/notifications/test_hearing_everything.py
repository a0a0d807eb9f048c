"""What hears every public message: together with whoever takes only the newest, and only once it is wanted."""

from typing import Any, cast

from services.notifications import consume
from shared.contract.catalogue import CATALOGUE
from shared.contract.words import Audience
from shared.kit import directory
from shared.kit.hears import Heard, Hears
from shared.kit.streams import Entry, Position
from shared.kit.work import Work
from tests.integration.kit.sample import institution

WORK = cast("Work[Any]", None)
PUBLIC = {word for word, message in CATALOGUE.items() if message.audience is Audience.NETWORK}


async def _no(connection: Any) -> bool:
    return False


async def _yes(connection: Any) -> bool:
    return True


def test_every_public_message_has_a_route_and_mails_keep_theirs() -> None:
    """All types that the network may read lead to webhooks; those of places still lead to mails, one by one."""
    routes = consume.hears.and_also(directory.hears).routes
    assert all(routes[word].every for word in PUBLIC)
    assert not routes["courses.enrolment.changed.v1"].every
    assert not routes["courses.enrolment.changed.v1"].whole


async def test_one_gets_every_message_and_the_other_the_newest() -> None:
    """Both hear the same three messages of one thing; each in the form that it takes."""
    every, newest = Hears(), Hears()
    seen: dict[str, list[int]] = {}
    kind = type(institution())

    @every.every(kind, while_=_yes)
    async def all_of_them(heard: Any, work: Work[Any]) -> None:
        seen["every"] = [one.message.version for one in heard]

    @newest.newest(kind)
    async def last(messages: Any, work: Work[Any]) -> None:
        seen["newest"] = [one.version for one in messages]

    heard = [Heard("s", Entry(Position(1, n), b"", b""), institution(version=n)) for n in (1, 2, 3)]
    for both in (every.and_also(newest), newest.and_also(every)):
        seen.clear()
        await both.routes["members.institution.changed.v1"].give(heard, WORK)
        assert seen == {"every": [1, 2, 3], "newest": [3]}


async def test_streams_that_nobody_wants_are_not_read() -> None:
    """Own streams always are, the public ones of members for the kit's own copy; all others once it says yes."""
    connection = cast("Any", None)
    for answer, streams in ((_no, {"members"}), (_yes, {"members", "courses", "events"})):
        hears = consume.hears.and_also(directory.hears)
        hears.sometimes = dict.fromkeys(hears.sometimes, answer)
        names = hears.streams(["awo"], "office", lambda _: True, await hears.wanted(connection))
        assert {name.rpartition(":")[2] for name in names if name.startswith("album:1:pub:{awo}")} == streams
        assert "album:1:own:{awo}:courses" in names
