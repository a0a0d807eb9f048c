"""What is asked of a mail at the last moment, and what staff may see of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.notifications.domain.addresses import fingerprint, for_envelope, masked, without
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.checking import Contact, Verdict, look
from services.notifications.domain.delivery import State
from services.notifications.domain.explaining import explained
from services.notifications.domain.letter import Appointment
from services.notifications.domain.occasions import Picture, where
from shared.contract.words import Place
from tests.unit.notifications.test_delivery import a_delivery

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)
KNOWN = Contact("vhs-hannover", "par_1", 1, "Ayşe", "ayse@example.org", "tr")


@pytest.mark.parametrize(
    ("contact", "suppressed", "now", "verdict"),
    [
        (KNOWN, None, NOW, None),
        (KNOWN, None, NOW + timedelta(days=3), Verdict(State.expired, "too_late")),
        (None, None, NOW, Verdict(State.planned, "no_contact_yet")),
        (replace(KNOWN, mail=None), None, NOW, Verdict(State.suppressed, "no_address")),
        (replace(KNOWN, erased=True), None, NOW, Verdict(State.cancelled, "erased")),
        (KNOWN, "dead_address", NOW, Verdict(State.suppressed, "dead_address")),
    ],
)
def test_a_mail_leaves_only_if_everything_is_right(
    contact: Contact | None, suppressed: str | None, now: datetime, verdict: Verdict | None
) -> None:
    """Time, contact, address and suppression are looked at in the moment of sending."""
    assert look(a_delivery(), contact, suppressed, now) == verdict


def test_an_address_is_masked_for_staff() -> None:
    """The first letter and the domain are enough to recognise it."""
    assert masked("ayse.yilmaz@example.org") == "a…@example.org"
    assert masked(None) is None


def test_what_a_server_says_is_kept_without_the_address() -> None:
    """Servers repeat the recipient, in any case of letters."""
    said = without("<Ayse@Example.org>: no such user ayse@example.org", "ayse@example.org")
    assert said == "<…>: no such user …"


def test_a_fingerprint_is_of_one_node_and_one_address() -> None:
    """Case and spaces make no difference, the node's secret does."""
    assert fingerprint(" Ayse@example.org", "s" * 16) == fingerprint("ayse@example.org", "s" * 16)
    assert fingerprint("ayse@example.org", "s" * 16) != fingerprint("ayse@example.org", "t" * 16)
    assert "ayse" not in fingerprint("ayse@example.org", "s" * 16)


def test_the_envelope_has_an_ascii_domain() -> None:
    """Umlauts in a domain travel as punycode."""
    assert for_envelope("kurse@bücher.example") == "kurse@xn--bcher-kva.example"


def test_a_place_is_one_line() -> None:
    """House, room, street, town, as far as they are known; a session's room wins."""
    place = Place(name="VHS", room="1", street="Burgstr. 14", postcode="30159", town="Hannover")
    assert where(place, "Raum 3") == "VHS, Raum 3, Burgstr. 14, 30159 Hannover"
    assert where(Place()) == ""


def test_a_picture_is_named_by_what_a_reader_sees() -> None:
    """Another place is another picture, the same run told again is not."""
    one = Picture("run_1", "run", "B2", (Appointment(NOW, None, "Raum 3"),))
    assert one.digest == replace(one).digest
    assert one.digest != replace(one, appointments=(Appointment(NOW, None, "Raum 4"),)).digest
    assert one.starts == one.ends == NOW
    assert Picture("run_1", "run", "B2", ()).starts is None


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_explained_in_words(state: State) -> None:
    """Whoever asks gets a sentence, the times of Berlin, and no address."""
    delivery = replace(a_delivery(state=state), address="ayse@example.org", reason="why")
    lines = "\n".join(explained(delivery, []))
    assert f"{state} (why)" in lines
    assert "18.11.2026 09:00:00" in lines
    assert "a…@example.org" in lines
    assert "No attempt was made." in lines


def test_attempts_are_told_as_far_as_they_are_known() -> None:
    """An answer, a silence, a dead sender, and one that is under way."""
    begun = Attempt(1, NOW, None, None, None, None, None)
    lines = explained(
        a_delivery(),
        [
            replace(begun, outcome="greylist", phase="rcpt", code=451, answer="later"),
            replace(begun, number=2, outcome="connect", phase="connect", answer="SMTPConnectError"),
            replace(begun, number=3, outcome="uncertain"),
            replace(begun, number=4),
        ],
    )
    assert lines[-4].endswith("greylist, in the phase rcpt: 451 later")
    assert lines[-3].endswith("connect, in the phase connect: no answer (SMTPConnectError)")
    assert lines[-2].endswith("its sender died before it could say how it ended")
    assert lines[-1].endswith("under way, or its sender died")
