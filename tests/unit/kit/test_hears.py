"""What a service hears names the streams that it reads."""

from typing import Any

import pytest

from shared.contract import courses, members, referrals
from shared.contract.streams import parse_stream
from shared.contract.words import Audience
from shared.kit.hears import Hears


async def _nothing(_messages: Any, _work: Any) -> None:
    """Do nothing."""


def _hears() -> Hears:
    hears = Hears()
    hears.newest(courses.RunPublished)(_nothing)
    hears.each(courses.EnrolmentChanged)(_nothing)
    return hears


def test_public_streams_are_read_of_everybody_and_own_ones_of_the_hosted() -> None:
    """An own stream of an institution that lives on another node is never named."""
    found = _hears().streams(["awo", "vhs"], "office", lambda slug: slug == "awo")
    assert found == {
        "album:1:pub:{awo}:courses",
        "album:1:pub:{vhs}:courses",
        "album:1:pub:{office}:courses",
        "album:1:own:{awo}:courses",
        "album:1:own:{office}:courses",
    }


def test_before_anybody_is_known_the_office_is_read() -> None:
    """The office's streams tell who is in the network: without them nobody would ever be heard of."""
    assert "album:1:pub:{office}:courses" in _hears().streams([], "office", lambda _: False)


async def test_what_two_tables_hear_goes_to_both_in_turn() -> None:
    """The service's handler comes first, then the kit's; neither replaces the other."""
    called: list[str] = []

    def table(name: str) -> Hears:
        hears = Hears()

        async def do(_messages: Any, _work: Any) -> None:
            called.append(name)

        hears.newest(members.InstitutionChanged)(do)
        return hears

    both = table("service").and_also(table("kit"))
    await both.routes["members.institution.changed.v1"].do([], None)  # type: ignore[arg-type] # it needs no work
    assert called == ["service", "kit"]


def test_two_handlers_of_one_message_must_agree_on_how_they_take_it() -> None:
    """One by one and newest of many cannot be mixed for the same message."""
    one, other = Hears(), Hears()
    one.newest(members.InstitutionChanged)(_nothing)
    other.each(members.InstitutionChanged)(_nothing)
    with pytest.raises(ValueError, match="one by one"):
        one.and_also(other)


def test_boxes_are_read_of_the_hosted_and_from_everybody_else() -> None:
    """Nobody reads a box of an institution that lives elsewhere, and nobody writes to themselves."""
    hears = Hears()
    hears.each(referrals.ReferralAsked)(_nothing)
    assert hears.streams(["awo", "vhs", "adv"], "office", lambda slug: slug == "awo") == {
        "album:1:box:{awo}:vhs",
        "album:1:box:{awo}:adv",
    }


def test_a_box_is_named_by_its_addressee_and_belongs_to_who_writes_it() -> None:
    """The name read back gives both, and the service that answers for the log."""
    name = parse_stream("album:1:box:{awo}:vhs-nord")
    assert (name.institution, name.speaker, name.service) == ("awo", "vhs-nord", "courses")
    assert (str(name), name.audience) == ("album:1:box:{awo}:vhs-nord", Audience.SEALED)
    own = parse_stream("album:1:own:{awo}:courses")
    assert (own.speaker, own.sender) == ("awo", None)
