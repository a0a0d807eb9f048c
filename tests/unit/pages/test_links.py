import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from shared.pages import Link, LinkExpired, LinkInvalid, Links

SECRET = "a secret of more than sixteen characters"
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=48)


def _links() -> Links:
    return Links(SECRET, "https://album.example/")


def _token(url: str) -> str:
    return url.rpartition("/")[2]


def test_a_link_says_what_was_written() -> None:
    """Purpose, subject, language and end come back as they went in."""
    url = _links().url("accept", "enrolment-17", "ar", UNTIL)
    assert url.startswith("https://album.example/l/")
    assert _links().read(_token(url), NOW) == Link("accept", "enrolment-17", "ar", UNTIL)


def test_a_link_is_short_and_plain() -> None:
    """The address of a usual link fits on a line of a mail and holds no sign that a mail program breaks at."""
    url = _links().url("decline", "018f3c1e-7c1a-7cc0-b7a4-2f5e1d9a0b11", "ckb", UNTIL)
    assert len(url) < 200
    assert re.fullmatch(r"https://album\.example/l/[A-Za-z0-9._-]+", url)


@given(st.text(), st.text(max_size=10), st.integers(1, 4_000_000_000))
def test_any_subject_comes_back(subject: str, language: str, seconds: int) -> None:
    """No subject or language is lost or changed on the way."""
    until = datetime.fromtimestamp(seconds, UTC)
    token = _token(_links().url("cancel", subject, language, until))
    assert _links().read(token, until - timedelta(seconds=1)) == Link("cancel", subject, language, until)


def test_a_link_ends_at_its_moment() -> None:
    """The last second still counts; from the end on the link has expired and tells the language to say so in."""
    token = _token(_links().url("accept", "enrolment-17", "tr", UNTIL))
    assert _links().read(token, UNTIL - timedelta(seconds=1)).purpose == "accept"
    with pytest.raises(LinkExpired) as caught:
        _links().read(token, UNTIL)
    assert caught.value.link.language == "tr"


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    """Changing any one character makes the link invalid."""
    token = _token(_links().url("accept", "enrolment-17", "ar", UNTIL))
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_.!").filter(lambda sign: sign != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    try:
        link = _links().read(changed, NOW)
    except LinkInvalid:
        return
    # The last character of base64 carries unused bits: such a token is the same signature written differently.
    assert (place, link) == (len(token) - 1, _links().read(token, NOW))


@pytest.mark.parametrize("token", ["", ".", "a.b", "é" * 40, "x" * 10_000, "\u2068abc\u2069", "\x00"])
def test_nonsense_is_refused(token: str) -> None:
    """Whatever stands in the address is refused in the same way and never a crash."""
    with pytest.raises(LinkInvalid):
        _links().read(token, NOW)


def test_another_secret_signs_other_links() -> None:
    """A link of one node is worth nothing on another; with the same secret it is read (the control)."""
    token = _token(
        Links("another secret, long enough as well", "https://album.example").url("accept", "1", "de", UNTIL)
    )
    with pytest.raises(LinkInvalid):
        _links().read(token, NOW)
    assert Links("another secret, long enough as well", "").read(token, NOW).subject == "1"


def test_a_signature_for_something_else_is_no_link() -> None:
    """The same secret used with another salt does not make a link; with the salt of links it does (the control)."""
    payload = ["accept", "1", "de", int(UNTIL.timestamp())]

    def signed(salt: str) -> str:
        return str(URLSafeSerializer(SECRET, salt=salt, signer_kwargs={"digest_method": sha256}).dumps(payload))

    with pytest.raises(LinkInvalid):
        _links().read(signed("session"), NOW)
    assert _links().read(signed("album.pages.link.v1"), NOW).subject == "1"


@pytest.mark.parametrize(
    "payload",
    [
        ["erase", "1", "de", 4_000_000_000],
        ["accept", "1", "de"],
        ["accept", 1, "de", 4_000_000_000],
        {},
        None,
        "accept",
    ],
)
def test_a_signed_payload_of_another_shape_is_no_link(payload: object) -> None:
    """A good signature over something that is no link does not become one."""
    with pytest.raises(LinkInvalid):
        _links().read(str(_links()._serializer.dumps(payload)), NOW)


def test_what_cannot_be_signed() -> None:
    """A short secret, an unknown purpose and an end without time zone are refused when the link is written."""
    with pytest.raises(ValueError, match="fewer than 16"):
        Links("short", "https://album.example")
    with pytest.raises(ValueError, match="no such purpose"):
        _links().url("erase", "1", "de", UNTIL)  # type: ignore[arg-type]  # the wrong purpose is what is tested
    with pytest.raises(ValueError, match="time zone"):
        _links().url("accept", "1", "de", datetime(2026, 11, 22))  # noqa: DTZ001 - the naive moment is what is tested
