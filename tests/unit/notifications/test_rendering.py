import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifications.domain import rendering
from services.notifications.domain.calendar import parameter
from services.notifications.domain.letter import Appointment, Kind, Letter, Occasion, Referral
from services.notifications.domain.rendering import Rendered, lint, render

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)
START = datetime(2026, 11, 23, 8, tzinfo=UTC)
LANGUAGES = ["de", "en", "tr", "ar", "fa"]
LINKS: Mapping[Kind, tuple[str, ...]] = {
    Kind.enrolled: ("cancel",),
    Kind.registered: ("cancel",),
    Kind.waiting: ("cancel",),
    Kind.seat_offered: ("accept", "decline"),
    Kind.offer_expired: ("again",),
    Kind.registration_confirm: ("confirm",),
}
NASTY = (
    'Eve\r\nBcc: all@example.org\r\n\r\n<b>"; \u202egniht\u2066 {name} {{x}} %s ]]> \ud800 👩‍👩‍👧 https://x.example/a'
)


def _letter(kind: Kind, language: str = "ar", sort: Literal["run", "meeting"] = "run", dates: int = 6) -> Letter:
    appointments = tuple(
        Appointment(START + timedelta(days=day), START + timedelta(days=day, hours=3), "Burgstraße 14, Raum 3")
        for day in range(dates)
    )
    return Letter(
        kind=kind,
        delivery_id="018f3c1e-7c1a-7cc0",
        name="أحمد علي",
        address="ahmad@example.org",
        language=language,
        occasion=Occasion("run-17", sort, "B2 Beruf", "VHS Hannover", "kurse@vhs.example", appointments, 3),
        place_in_queue=3,
        offered_until=NOW + timedelta(hours=48),
        reason="Die Lehrerin ist krank.",
        links={purpose: f"https://album.example/l/{purpose}.sig" for purpose in LINKS.get(kind, ())},
        referral=Referral("kargah", ("name", "mail")) if kind is Kind.referral_ended else None,
        sender_name="VHS Hannover über ALBuM",
        sender_address="post@album.example",
        written_at=NOW,
    )


def _read(rendered: Rendered) -> EmailMessage:
    return message_from_bytes(rendered.mime, policy=policy.default)


def _part(rendered: Rendered, subtype: str) -> EmailMessage:
    return next(part for part in _read(rendered).walk() if part.get_content_subtype() == subtype)


def _plain(text: str) -> str:
    return re.sub("[\u2068\u2069\u200f]", "", text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("sort", ["run", "meeting"])
def test_every_letter_is_clean(kind: Kind, language: str, sort: Literal["run", "meeting"]) -> None:
    """Each kind renders in each language, for runs and meetings, and the lint finds nothing."""
    rendered = render(_letter(kind, language, sort))
    assert lint(rendered) == []
    assert _part(rendered, "plain").get_content().replace("\r\n", "\n") == rendered.text
    assert "B2 Beruf" in rendered.text
    assert "VHS Hannover" in rendered.html


def test_two_languages_in_one_mail() -> None:
    """Arabic comes first and from right to left, the same facts in German below, and both in the subject."""
    rendered = render(_letter(Kind.seat_offered))
    assert rendered.languages == ("ar", "de")
    assert _plain(rendered.subject) == "يوجد مقعد شاغر لك / Ein Platz ist frei für Sie: B2 Beruf"
    assert re.search(r'<div[^>]* dir="rtl" lang="ar"', rendered.html)
    assert re.search(r'<div[^>]* dir="ltr" lang="de"', rendered.html)
    assert rendered.text.index("الجمعة، 20 نوفمبر 2026، 09:00") < rendered.text.index(
        "Freitag, 20. November 2026, 09:00"
    )


def test_one_language_for_german_readers() -> None:
    """Who reads German gets nothing twice."""
    rendered = render(_letter(Kind.enrolled, "de"))
    assert rendered.languages == ("de",)
    assert _plain(rendered.subject) == "Sie haben einen Platz: B2 Beruf"
    assert rendered.text.count("Guten Tag") == 1


def test_an_unknown_language_becomes_english_and_german() -> None:
    """A language without texts falls back as a whole, never sentence by sentence."""
    assert render(_letter(Kind.enrolled, "fa")).languages == ("en", "de")


def test_the_order_of_the_parts() -> None:
    """Text, HTML and calendar are alternatives of one another, the richest last."""
    parts = [part.get_content_type() for part in _read(render(_letter(Kind.enrolled))).walk()]
    assert parts == ["multipart/alternative", "text/plain", "text/html", "text/calendar"]


def test_the_head_of_a_mail() -> None:
    """The head tells machines not to answer, people whom to answer, and every attempt the same id."""
    read = _read(render(_letter(Kind.reminder)))
    assert read["Message-ID"] == "<018f3c1e-7c1a-7cc0@album.example>"
    assert read["Date"].datetime == NOW
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["X-Auto-Response-Suppress"] == "All"
    assert read["Reply-To"] == "VHS Hannover <kurse@vhs.example>"
    assert read["From"] == "VHS Hannover über ALBuM <post@album.example>"
    assert read["To"] == "أحمد علي <ahmad@example.org>"
    assert read["Content-Language"] == "ar, de"


def test_without_a_human_there_is_no_reply_to() -> None:
    """An institution without an address is named as the one to ask, and no header is made up."""
    letter = _letter(Kind.reminder)
    rendered = render(replace(letter, occasion=replace(letter.occasion, reply_to=None)))
    assert _read(rendered)["Reply-To"] is None
    assert "Bitte fragen Sie: VHS Hannover." in _plain(rendered.text)


def test_the_same_letter_is_the_same_bytes() -> None:
    """Nothing in the bytes comes from chance or from the clock."""
    assert render(_letter(Kind.enrolled)).mime == render(_letter(Kind.enrolled)).mime


@pytest.mark.parametrize("delivery_id", ["a b", "x@y", "ü", "a\r\nBcc: b", "z" * 300, "", "\ud800"])
def test_any_delivery_id_makes_one_message_id(delivery_id: str) -> None:
    """Ids that cannot stand in a header are hashed: always the same, never two ids alike."""
    read = _read(render(replace(_letter(Kind.reminder), delivery_id=delivery_id)))
    assert re.fullmatch(r"<[0-9a-f]{40}@album\.example>", read["Message-ID"])


@given(st.text(), st.text(), st.text(), st.text())
@example(NASTY, NASTY, NASTY, NASTY)
@example("A" * 3000, "B " * 3000, "ب" * 3000, "👩‍👩‍👧" * 500)
@example('Müller, "Anna" <x@y>', "a, b; c", "(x)", "=?utf-8?q?x?=")
def test_nasty_values_stay_values(name: str, title: str, place: str, reason: str) -> None:
    """Whatever people write, it adds no header, no recipient and no element, and the mail goes out whole."""
    letter = _letter(Kind.run_changed)
    occasion = replace(
        letter.occasion, title=title, institution_name=name, appointments=(Appointment(START, None, place),)
    )
    rendered = render(replace(letter, name=name, sender_name=name, reason=reason, occasion=occasion))
    read = _read(rendered)
    assert set(read.keys()) == set(_read(render(letter)).keys())
    assert [address for _, address in getaddresses([str(read["To"])])] == ["ahmad@example.org"]
    assert [address.addr_spec for address in read["From"].addresses] == ["post@album.example"]
    assert [address.addr_spec for address in read["Reply-To"].addresses] == ["kurse@vhs.example"]
    assert _elements(rendered.html) <= {
        *("html", "head", "meta", "title", "body", "div", "p", "h1", "h2", "bdi", "span", "br", "a")
    }
    assert _part(rendered, "plain").get_content().replace("\r\n", "\n") == rendered.text


def _elements(html: str) -> set[str]:
    return set(re.findall(r"<([a-z][a-z0-9]*)", html))


@given(st.text(max_size=200))
def test_the_subject_comes_back(title: str) -> None:
    """The subject that arrives is the one that was written, however long and in whatever letters."""
    letter = _letter(Kind.enrolled)
    rendered = render(replace(letter, occasion=replace(letter.occasion, title=title)))
    assert " ".join(str(_read(rendered)["Subject"]).split()) == " ".join(rendered.subject.split())


_WORDS = st.lists(st.sampled_from(["Deutsch", "für", "den", "Beruf", "B1", ">", "B2:", "دورة", "Ü"]), max_size=12)


@given(_WORDS, st.sampled_from(LANGUAGES))
@example(["Deutsch", "für", "den", "Beruf", "B1", ">", "B2"], "en")
def test_no_space_is_lost_in_a_head(words: list[str], language: str) -> None:
    """Plain and other words in any mixture arrive as they were written, in subjects and in names."""
    letter = _letter(Kind.waiting, language)
    said = f"Anna {' '.join(words)}"[:50].strip()
    rendered = render(replace(letter, name=said, occasion=replace(letter.occasion, title=said)))
    head = message_from_bytes(rendered.mime)
    assert _decoded(head["Subject"]) == rendered.subject
    assert _decoded(head["To"]).removesuffix("<ahmad@example.org>").strip().strip('"') == parameter(said)
    assert all(len(line) <= 78 for line in rendered.mime.split(b"\r\n\r\n")[0].split(b"\r\n"))


def _decoded(raw: str) -> str:
    # RFC 2047 to the letter: the parser of Python 3.11 itself keeps spaces between the parts of a long name.
    return str(make_header(decode_header(raw.replace("\r\n", ""))))


def test_python_itself_loses_a_space_in_such_a_head() -> None:
    """The control: without encoding all of it, the words of this subject would run together."""
    subject = "You are on the waiting list / Sie sind auf der Warteliste: \u2068Deutsch für den Beruf B1 > B2\u2069"
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"] = subject
    assert str(message_from_bytes(message.as_bytes(), policy=policy.default)["Subject"]) != subject


@pytest.mark.parametrize(
    "address", ["a@example.org\r\nBcc: b@example.org", "a b@example.org", "", "@", "a", "ü@example.org"]
)
def test_a_bad_address_is_refused(address: str) -> None:
    """What is no address, or would be two, or cannot be reached by every server, stops the letter."""
    with pytest.raises(ValueError, match="address"):
        render(replace(_letter(Kind.reminder), address=address))


def test_a_domain_in_other_letters_is_written_in_ascii() -> None:
    """An internationalised domain goes out in the form every server knows."""
    assert _read(render(replace(_letter(Kind.reminder), address="a@münchen.example")))["To"].addresses[0].domain == (
        "xn--mnchen-3ya.example"
    )


def test_first_dates_then_how_many_more() -> None:
    """Four dates are told, the rest is counted; dates gone by are left out."""
    text = _plain(render(_letter(Kind.enrolled, "de", dates=6)).text)
    assert text.count("09:00 bis 12:00 Uhr") == 4
    assert "und 2 weitere Termine" in text
    later = replace(_letter(Kind.enrolled, "de", dates=6), written_at=START + timedelta(days=4, hours=5))
    assert _plain(render(later).text).count("09:00 bis 12:00 Uhr") == 1


def test_one_place_is_told_once() -> None:
    """A place that all dates share stands once; places that differ stand with their dates."""
    letter = _letter(Kind.enrolled, "de", dates=3)
    assert render(letter).text.count("Burgstraße 14") == 1
    first, *others = letter.occasion.appointments
    moved = replace(letter.occasion, appointments=(replace(first, place="Linden"), *others))
    text = _plain(render(replace(letter, occasion=moved)).text)
    assert "Montag, 23. November 2026, 09:00 bis 12:00 Uhr, Ort: Linden" in text
    assert text.count("Burgstraße 14") == 2


def test_without_dates_the_mail_says_so() -> None:
    """A run that has no dates yet is told as such, and there is no calendar."""
    rendered = render(_letter(Kind.enrolled, "de", dates=0))
    assert "Die Termine kommen später." in rendered.text
    assert rendered.calendar is None


def test_waiting_tells_the_place() -> None:
    """The reader learns the number in the queue and how many are before; the first one learns to be next."""
    text = _plain(render(_letter(Kind.waiting, "de")).text)
    assert "Sie haben Platz 3 auf der Warteliste." in text
    assert "2 Personen sind vor Ihnen." in text
    assert "nächste Person auf der Liste" in _plain(render(replace(_letter(Kind.waiting, "de"), place_in_queue=1)).text)


def test_an_offer_tells_deadline_and_that_no_is_safe() -> None:
    """The deadline is said in words, both links stand there, and declining costs no other place."""
    text = _plain(render(_letter(Kind.seat_offered, "de")).text)
    assert "Bitte antworten Sie vor diesem Termin: Freitag, 20. November 2026, 09:00." in text
    assert "Dann ändert sich bei Ihren anderen Kursen nichts." in text
    lines = text.splitlines()
    assert lines[lines.index("Ja, ich möchte den Platz:") + 1] == "https://album.example/l/accept.sig"
    assert lines[lines.index("Nein, ich möchte den Platz nicht:") + 1] == "https://album.example/l/decline.sig"


def test_a_registration_tells_when_it_is_deleted() -> None:
    """Without the click everything is deleted after seven days, in every language."""
    text = _plain(render(_letter(Kind.registration_confirm, "ar", "meeting")).text)
    assert "نحذف كل شيء بعد 7 أيام" in text
    assert "Dann löschen wir nach 7 Tagen alles." in text


def test_a_cancellation_tells_the_reason() -> None:
    """Why a run does not take place is told if it is known, and nothing stands there if it is not."""
    assert "Der Grund: Die Lehrerin ist krank." in _plain(render(_letter(Kind.run_cancelled, "de")).text)
    assert "Grund" not in render(replace(_letter(Kind.run_cancelled, "de"), reason=None)).text


@pytest.mark.parametrize(
    ("letter", "finding"),
    [
        (replace(_letter(Kind.seat_offered), links={}), "no link to accept; no link to decline"),
        (replace(_letter(Kind.seat_offered), offered_until=None), "an offer without a deadline"),
        (replace(_letter(Kind.registration_confirm), links={}), "no link to confirm"),
        (replace(_letter(Kind.waiting), place_in_queue=None), "no place in the queue"),
        (replace(_letter(Kind.enrolled), links={"cancel": "javascript:alert(1)"}), "the link to cancel is no URL"),
        (replace(_letter(Kind.enrolled), links={"cancel": "https://x/\u2068a\u2069"}), "the link to cancel is no URL"),
    ],
)
def test_a_letter_that_lacks_something_is_not_written(letter: Letter, finding: str) -> None:
    """A letter that its reader could not act on is refused with what it lacks."""
    with pytest.raises(ValueError, match=finding):
        render(letter)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"mime": "ü\r\n".encode()}, "the message is not 7-bit"),
        ({"mime": b"x" * 999 + b"\r\n"}, "a line is longer than 998 octets"),
        ({"mime": b"x\ny\r\n"}, "a line does not end with CR LF"),
        ({"subject": "one\r\ntwo"}, "the subject is not one line"),
        ({"subject": ""}, "the subject is not one line"),
        ({"subject": "Hello {name}"}, "the text has an unfilled placeholder"),
        ({"text": "Hello https://x.example/\u2068a\u2069"}, "an isolate stands inside a URL"),
        ({"text": "only one block"}, "the text has not one block per language"),
        ({"html": "<body><div lang='ar' dir='rtl'>{name}</div>"}, "the HTML has an unfilled placeholder"),
        ({"html": "<a href='https://x/\u2068a'>"}, "an isolate stands inside a link"),
        ({"html": "<div lang='ar' dir='rtl'></div>"}, "the HTML has not one block per language"),
        ({"html": "<script>x</script>"}, "the HTML loads or runs something"),
        ({"html": "<img src='https://x/pixel'>"}, "the HTML loads or runs something"),
    ],
)
def test_the_lint_finds(change: dict[str, object], finding: str) -> None:
    """Each mistake the lint looks for is found when it is made on purpose."""
    good = render(_letter(Kind.enrolled))
    assert lint(good) == []
    assert finding in lint(replace(good, **change))  # type: ignore[arg-type]  # the fields are given by name


def test_a_letter_the_lint_dislikes_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A placeholder left open in a text stops the letter; without the lint it would go out (the control)."""
    monkeypatch.setattr(rendering, "as_text", lambda _: f"Hello {{name}}\n\n{'-' * 40}\n\nHallo\n")
    with pytest.raises(ValueError, match="unfilled placeholder"):
        render(_letter(Kind.enrolled))
    monkeypatch.setattr(rendering, "lint", lambda _: [])
    assert "{name}" in render(_letter(Kind.enrolled)).text


def test_braces_in_a_title_are_no_placeholder() -> None:
    """What people write in their titles does not stop a letter."""
    letter = _letter(Kind.enrolled)
    assert "{name} {{x}}" in render(replace(letter, occasion=replace(letter.occasion, title="{name} {{x}}"))).text


def test_lines_of_arabic_text_begin_with_their_direction() -> None:
    """Plain text has no direction of its own: each Arabic line starts with a mark, no link and no German line does."""
    arabic, german = render(_letter(Kind.seat_offered)).text.split("-" * 40)
    assert all(line.startswith("\u200f") for line in arabic.splitlines() if line and not line.startswith("https://"))
    assert "https://album.example/l/accept.sig" in arabic.splitlines()
    assert "\u200f" not in german
