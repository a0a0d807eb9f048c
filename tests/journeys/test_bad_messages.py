"""Somebody writes nonsense into a stream: each entry waits with its reason, and the good ones have their effect."""

import json
from datetime import UTC, datetime

import redis

from deploy.demo.hands import until
from deploy.demo.platform import Embedded
from deploy.demo.story import Story
from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import Message, encode
from shared.contract.samples import sample

STREAM = "album:1:own:{kargah}:events"
PERSON = "participant_01jd3kq8w0zzzz"


def _message(word: str, **changes: object) -> bytes:
    kind: type[Message] = CATALOGUE[word]
    message = kind.model_validate({**sample(kind), "institution": "kargah", "participant_id": PERSON, **changes})
    return encode(message, id="msg_1", time=datetime.now(UTC))


def _entries() -> list[bytes]:
    recorded = "events.participant.contact_recorded.v1"
    contact = _message(recorded, name="Nadia", mail="nadia@bad.example", language="ar")
    other = _message(recorded, name="Nadia", mail="nadia@bad.example", participant_id="participant_01other0")
    seat = _message("events.registration.changed.v1", state="registered", cause="given", version=4)
    foreign = other.replace(b'"source":"/kargah/events"', b'"source":"/bildungsverein/events"')
    unknown = other.replace(b"contact_recorded.v1", b"contact_sung.v7")
    invalid = _message("events.participant.erased.v1", participant_id="participant_01other0").replace(
        b'"version":3', b'"version":"many"'
    )
    too_large = other.replace(b"Nadia", b"N" * 70_000)
    return [b"{", b'["no event"]', foreign, unknown, invalid, too_large, contact, seat, seat]


async def test_bad_messages_are_parked_with_reasons_and_good_ones_have_their_effect(
    story: Story, platform: Embedded
) -> None:
    """Malformed, foreign, unknown, invalid and too large: parked; the mail still goes out, and only once."""
    with redis.Redis.from_url(platform.redis.url) as client:
        for number, payload in enumerate(_entries(), 1):
            client.xadd(STREAM, {"p": payload, "h": bytes(32)}, id=f"1-{number}")

    async def arrived() -> bool | None:
        return any(mail.recipient == "nadia@bad.example" for mail in platform.mails()) or None

    await until("the good message's mail", arrived)
    parked = {row["code"]: row for row in json.loads(platform.album("parked", "list", "--json"))}
    assert set(parked) == {
        "not_json",
        "not_cloudevent",
        "wrong_institution",
        "unknown_type",
        "invalid",
        "too_large",
    }
    assert all(row["service"] == "notifications" and row["reason"] for row in parked.values())
    assert "nadia" not in platform.album("parked", "show", "notifications", "--json").lower()
    assert [mail.recipient for mail in platform.mails()].count("nadia@bad.example") == 1


def test_what_is_parked_can_be_given_up_with_a_reason(platform: Embedded) -> None:
    """The operator lists, discards with a reason, and nothing is left.

    Not all services need be ready: events may have seen by now that somebody else wrote into its stream.
    """
    rows = json.loads(platform.album("parked", "show", "notifications", "--json"))
    for row in rows:
        platform.album("parked", "discard", "notifications", str(row["id"]), "--why", "sent by a broken script")
    assert json.loads(platform.album("parked", "list", "--json")) == []
    assert len(rows) >= 6
