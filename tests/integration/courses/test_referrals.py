"""The whole conversation between two institutions, on one node and on two, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from services.courses import timers
from services.courses.handlers import erasing
from services.courses.store.tables import participant, referral_key
from shared.contract.courses import ParticipantErased
from shared.contract.envelope import Message, encode
from shared.contract.referrals import (
    ErasureAsked,
    ErasureReceipt,
    ReferralAnswered,
    ReferralAsked,
    ReferralDeclined,
    ReferralOpened,
    ReferralOutcome,
    ReferralRecalled,
    ReferralSent,
)
from shared.kit.streams import GENESIS, Entry, Position
from shared.network.identity import Identity
from tests.integration.courses.courses_house import START
from tests.integration.courses.referral_network import (
    ALL,
    RECEIVER,
    SENDER,
    Network,
    consent,
    open_network,
)


@pytest.fixture(params=["one node", "two nodes"])
async def network(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[Network]:
    """Give both institutions on one database of each kind, or on one of their own each."""
    urls = [database_url]
    if request.param == "two nodes":
        urls.append(f"sqlite+aiosqlite:///{tmp_path}/second.db")
    async with open_network(*urls) as opened:
        yield opened


async def test_somebody_is_referred_and_accepts(network: Network) -> None:
    """Asked, opened, sent, a seat held, accepted; the sender learns the fact."""
    run_id, person = await network.run(), await network.person()
    referral_id = await network.refer(run_id, person)
    assert (await network.referral(SENDER, referral_id))["state"] == "asked"
    await network.flow()
    assert await network.states(referral_id) == ("sent", "seat_held")
    received = await network.referral(RECEIVER, referral_id)
    enrolment = await network.ask(RECEIVER, "GET", f"enrolments/{received['enrolment_id']}")
    assert enrolment["state"] == "offered"
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/accept")
    await network.flow()
    assert await network.states(referral_id) == ("accepted", "accepted")
    file = await network.ask(RECEIVER, "GET", f"participants/{received['participant_id']}")
    sent = await network.ask(SENDER, "GET", f"participants/{person}")
    ours = {"participant_id", "version", "state"}
    assert {k: v for k, v in file.items() if k not in ours} == {k: v for k, v in sent.items() if k not in ours}
    assert await network.parked(SENDER) == await network.parked(RECEIVER) == []


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Network]:
    """Give both institutions on one SQLite node, for what does not differ between databases."""
    async with open_network(f"sqlite+aiosqlite:///{tmp_path}/pair.db") as opened:
        yield opened


async def _held(network: Network, **plan: Any) -> tuple[str, dict[str, Any]]:
    """Bring a referral to a seat that is held; give its id and the receiver's view."""
    referral_id = await network.refer(await network.run(**plan), await network.person())
    await network.flow()
    received = await network.referral(RECEIVER, referral_id)
    assert received["state"] == "seat_held"
    return referral_id, received


async def _files(network: Network) -> list[tuple[str, str | None]]:
    """Give state and name of all files of the receiver's."""
    query = sa.select(participant.c.state, participant.c.name).where(participant.c.institution == RECEIVER)
    async with network.houses[RECEIVER].works.database.reading() as connection:
        return [(row.state, row.name) for row in await connection.execute(query)]


async def _keys(network: Network) -> int:
    async with network.houses[RECEIVER].works.database.reading() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(referral_key))).scalar_one())


async def _run_now(network: Network, run_id: str) -> tuple[int, int]:
    run = await network.ask(RECEIVER, "GET", f"runs/{run_id}")
    return run["held"], run["taken"]


async def test_who_says_no_is_forgotten(network: Network) -> None:
    """The seat is free again, the file holds nothing, the sender learns that it was declined."""
    referral_id, received = await _held(network)
    assert await _run_now(network, received["run_id"]) == (1, 0)
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/decline")
    await network.flow()
    assert await network.states(referral_id) == ("declined", "declined")
    assert await _run_now(network, received["run_id"]) == (0, 0)
    assert await _files(network) == [("erased", None)]


async def test_who_does_not_answer_is_forgotten_with_a_last_mail(network: Network) -> None:
    """The offer ends by the receiver's clock; planned mails still leave before the contact goes."""
    referral_id, _ = await _held(network)
    network.turn(hours=49)
    await timers.expire_offers(network.houses[RECEIVER].node)
    await network.flow()
    assert await network.states(referral_id) == ("expired", "expired")
    assert await _files(network) == [("erased", None)]
    told = await network.houses[RECEIVER].told()
    assert [each.farewell for each in told if isinstance(each, ParticipantErased)][-1]


async def test_the_key_is_gone_as_soon_as_the_content_is_read(network: Network) -> None:
    """It lives between the question and the answer; from then on nobody can read what was sealed, anywhere."""
    referral_id = await network.refer(await network.run(), await network.person())
    await network.tell()
    await network.carry()
    await network.read()
    assert await _keys(network) == 1
    await network.flow()
    assert (await network.states(referral_id))[1] == "seat_held"
    assert await _keys(network) == 0


async def test_a_referral_is_recalled(network: Network) -> None:
    """The seat is freed, what came is deleted, the person is told; a second recall does nothing more."""
    referral_id, received = await _held(network)
    await network.ask(SENDER, "POST", f"referrals/{referral_id}/recall")
    await network.flow()
    assert await network.states(referral_id) == ("recalled", "recalled")
    assert await _run_now(network, received["run_id"]) == (0, 0)
    assert await _files(network) == [("erased", None)]
    mark = await network.houses[SENDER].mark()
    await network.ask(SENDER, "POST", f"referrals/{referral_id}/recall")
    assert await network.houses[SENDER].mark() == mark


async def test_an_acceptance_that_crosses_a_recall_stands(network: Network) -> None:
    """Only the owner gives seats: the sender learns that the person has accepted."""
    referral_id, received = await _held(network)
    await network.ask(SENDER, "POST", f"referrals/{referral_id}/recall")
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/accept")
    await network.flow()
    assert await network.states(referral_id) == ("accepted", "accepted")
    assert await _run_now(network, received["run_id"]) == (0, 1)
    answer = await network.call(SENDER, "POST", f"referrals/{referral_id}/recall")
    assert (answer.status_code, answer.json()["code"]) == (409, "referral_is_accepted")


async def test_an_erasure_goes_through_to_the_receiver_and_comes_back_signed(network: Network) -> None:
    """The seat and the file are gone over there, and the sender can show a genuine receipt."""
    referral_id, received = await _held(network)
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/accept")
    await network.flow()
    person = (await network.referral(SENDER, referral_id))["participant_id"]
    await network.ask(SENDER, "DELETE", f"participants/{person}")
    assert (await network.referral(SENDER, referral_id))["erasure"] == "asked"
    await network.flow()
    sent = await network.referral(SENDER, referral_id)
    assert (sent["receipt"]["what"], sent["receipt"]["verified"]) == (["key", "link", "seat", "file", "messages"], True)
    assert sent["receipt"]["signed_by"] == "node"
    answered = await network.referral(RECEIVER, referral_id)
    assert (answered["participant_id"], answered["erasure"]) == (None, "answered")
    assert await _files(network) == [("erased", None)]
    assert await _run_now(network, received["run_id"]) == (0, 0)
    assert await network.parked(SENDER) == await network.parked(RECEIVER) == []


async def test_a_receipt_from_another_node_is_checked_with_the_key_of_the_roster(tmp_path: Path) -> None:
    """Signed with the institution's own key, unknown here at first; the right key proves it, another one does not."""
    urls = [f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    identity, other = Identity.make(RECEIVER, Random(1).randbytes), Identity.make(RECEIVER, Random(2).randbytes)
    identity.save(tmp_path / "keys" / f"{RECEIVER}.json")
    async with open_network(*urls) as network:
        network.houses[RECEIVER].works.settings.identities = tmp_path / "keys"
        referral_id, _ = await _held(network)
        person = (await network.referral(SENDER, referral_id))["participant_id"]
        await network.ask(SENDER, "DELETE", f"participants/{person}")
        await network.flow()
        sent = await network.referral(SENDER, referral_id)
        assert (sent["erasure"], sent["receipt"]["verified"]) == ("unverified", None)
        assert (sent["receipt"]["signed_by"], sent["receipt"]["kid"]) == ("institution", identity.kid)
        for keys, verified in ((other, False), (identity, True)):
            async with network.houses[SENDER].works() as work:
                [due] = await work.store.receipts_to_verify(9)
                await erasing.verify(due.id, due.institution, keys.public.ed25519, work)
                checked = await work.store.referral(referral_id, SENDER)
                assert checked.receipt is not None
                assert (checked.erasure, checked.receipt.verified) == ("done", verified)
                await work.store.keep_referral(due)


async def test_two_erasures_that_cross_are_both_answered(network: Network) -> None:
    """Both sides ask each other at once: both delete, nobody waits, nothing is parked."""
    referral_id, received = await _held(network)
    person = (await network.referral(SENDER, referral_id))["participant_id"]
    await network.ask(SENDER, "DELETE", f"participants/{person}")
    await network.ask(RECEIVER, "DELETE", f"participants/{received['participant_id']}")
    await network.flow()
    assert [(await network.referral(who, referral_id))["erasure"] for who in (SENDER, RECEIVER)] == ["answered"] * 2
    assert await _files(network) == [("erased", None)]
    assert await network.parked(SENDER) == await network.parked(RECEIVER) == []


async def test_the_receivers_erasure_makes_the_sender_forget_the_fact(network: Network) -> None:
    """Whom the receiver erases is asked about at the sender's, whose own file stays."""
    referral_id, received = await _held(network)
    await network.ask(RECEIVER, "DELETE", f"participants/{received['participant_id']}")
    await network.flow()
    sent, answered = [await network.referral(who, referral_id) for who in (SENDER, RECEIVER)]
    assert (sent["state"], sent["participant_id"], sent["erasure"]) == ("withdrawn", None, "answered")
    assert (answered["erasure"], answered["receipt"]["what"]) == ("done", ["messages", "link", "file_kept"])
    assert answered["receipt"]["verified"] is True


async def test_a_full_run_gives_a_turn_in_the_queue_like_anybodys(pair: Network) -> None:
    """Who is referred passes nobody who waits, and is offered the seat when it is their turn."""
    house = pair.houses[RECEIVER]
    run_id = await pair.run(capacity=1)
    seated, waiting = await house.ask(run_id), await house.ask(run_id)
    referral_id = await pair.refer(run_id, await pair.person())
    await pair.flow()
    assert await pair.states(referral_id) == ("sent", "waiting")
    await house.post(f"enrolments/{seated['enrolment_id']}/withdraw")
    assert (await house.enrolment(waiting["enrolment_id"]))["state"] == "offered"
    assert await pair.states(referral_id) == ("sent", "waiting")
    await house.post(f"enrolments/{waiting['enrolment_id']}/decline")
    assert await pair.states(referral_id) == ("sent", "seat_held")


async def test_a_run_that_is_cancelled_meanwhile_has_no_seat(pair: Network) -> None:
    """Cancelled between question and content: nothing is kept of the person; cancelled later: the same."""
    early = await pair.refer(await pair.run(), await pair.person())
    await pair.tell()
    await pair.read()
    run_id = (await pair.referral(SENDER, early))["run_id"]
    await pair.houses[RECEIVER].post(f"runs/{run_id}/cancel", {"reason": "Lehrkraft krank"})
    await pair.flow()
    assert await pair.states(early) == ("no_seat", "no_seat")
    assert await _files(pair) == []
    late, received = await _held(pair)
    await pair.houses[RECEIVER].post(f"runs/{received['run_id']}/cancel", {"reason": "Lehrkraft krank"})
    await pair.flow()
    assert await pair.states(late) == ("no_seat", "no_seat")
    assert await _files(pair) == [("erased", None)]


async def test_who_is_known_already_keeps_their_file(pair: Network) -> None:
    """The same name and mail: the receiver's own file is used, not changed, and stays when the person says no."""
    house = pair.houses[RECEIVER]
    own = await house.person(
        name="Kanarienvogel Nummereins",
        contact_consent=True,
        mail="Kanarienpost@canary.example.org",
        goal="Eigenes Ziel",
    )
    referral_id, received = await _held(pair)
    assert received["participant_id"] == own
    await house.post(f"enrolments/{received['enrolment_id']}/decline")
    await pair.flow()
    assert await pair.states(referral_id) == ("declined", "declined")
    assert (await house.get(f"participants/{own}"))["goal"] == "Eigenes Ziel"
    await pair.ask(SENDER, "DELETE", f"participants/{(await pair.referral(SENDER, referral_id))['participant_id']}")
    await pair.flow()
    assert (await pair.referral(SENDER, referral_id))["receipt"]["what"] == ["key", "link", "file_kept"]


async def test_who_sits_in_the_run_already_is_accepted_at_once(pair: Network) -> None:
    """The receiver's own participant with a seat: the sender learns that there is one, and nothing else happens."""
    house = pair.houses[RECEIVER]
    run_id = await pair.run()
    own = await house.person(
        name="Kanarienvogel Nummereins", contact_consent=True, mail="kanarienpost@canary.example.org"
    )
    await house.ask(run_id, own)
    referral_id = await pair.refer(run_id, await pair.person())
    await pair.flow()
    assert await pair.states(referral_id) == ("accepted", "accepted")
    assert await _run_now(pair, run_id) == (0, 1)


async def test_only_what_the_consent_names_is_sent(pair: Network) -> None:
    """Name and mail alone: all else stays unknown to the receiver."""
    referral_id = await pair.refer(await pair.run(), await pair.person(), fields=["mail", "name", "mail"])
    await pair.flow()
    received = await pair.referral(RECEIVER, referral_id)
    file = await pair.ask(RECEIVER, "GET", f"participants/{received['participant_id']}")
    known = {name for name, value in file.items() if value not in (None, [], {}, False)}
    assert known == {"participant_id", "state", "version", "language", "name", "mail", "contact_consent"}
    assert file["language"] == "de"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"consent": None}, 422, "invalid"),
        ({"consent": consent(receiver="awo")}, 422, "consent_for_others"),
        ({"consent": consent(sender="awo")}, 422, "consent_for_others"),
        ({"consent": consent(fields=[])}, 422, "invalid"),
        ({"consent": consent(fields=["name"])}, 422, "consent_lacks_fields"),
        ({"consent": consent(expires_on="2027-01-10")}, 409, "consent_expired"),
        ({"consent": {k: v for k, v in consent().items() if k != "purpose"}}, 422, "invalid"),
        ({"run_id": "run_00000000"}, 404, "run_unknown"),
        ({"to": "awo", "consent": consent(receiver="awo")}, 404, "institution_unknown"),
        ({"to": SENDER, "consent": consent(receiver=SENDER)}, 422, "referral_to_oneself"),
        ({"participant_id": "participant_00000000"}, 404, "not_found"),
    ],
)
async def test_what_does_not_fit_is_refused_at_once(
    pair: Network, body: dict[str, Any], status: int, code: str
) -> None:
    """Each refusal has its code, and nothing is told to anybody."""
    run_id, person = await pair.run(), await pair.person()
    mark = await pair.houses[SENDER].mark()
    whole = {"participant_id": person, "to": RECEIVER, "run_id": run_id, "consent": consent(), **body}
    answer = await pair.call(SENDER, "POST", "referrals", whole)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await pair.houses[SENDER].mark() == mark


async def test_a_run_that_is_over_or_of_others_is_refused(pair: Network) -> None:
    """A cancelled run, and one that belongs to the sender itself."""
    run_id, person = await pair.run(), await pair.person()
    await pair.houses[RECEIVER].post(f"runs/{run_id}/cancel", {"reason": "Lehrkraft krank"})
    await pair.flow()
    body = {"participant_id": person, "to": RECEIVER, "run_id": run_id, "consent": consent()}
    assert (await pair.call(SENDER, "POST", "referrals", body)).json()["code"] == "run_is_cancelled"
    offer = await pair.ask(SENDER, "POST", "offers", {"title": "Eigener Kurs", "kind": "other"})
    plan = {"offer_id": offer["offer_id"], "number": "1", "capacity": 3}
    own = (await pair.ask(SENDER, "POST", "runs", plan))["run_id"]
    await pair.ask(SENDER, "POST", f"runs/{own}/publish")
    await pair.flow()
    answer = await pair.call(SENDER, "POST", "referrals", {**body, "run_id": own})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_of_others")


async def test_asking_twice_is_one_referral(pair: Network) -> None:
    """The same Idempotency-Key gives the same answer; without one the open referral is named."""
    run_id, person = await pair.run(), await pair.person()
    body = {"participant_id": person, "to": RECEIVER, "run_id": run_id, "consent": consent()}
    twice = [await pair.call(SENDER, "POST", "referrals", body, **{"Idempotency-Key": "one"}) for _ in range(2)]
    assert twice[0].json() == twice[1].json()
    again = await pair.call(SENDER, "POST", "referrals", body)
    assert (again.status_code, again.json()["code"]) == (409, "referral_open")
    assert len([each for each in await pair.houses[SENDER].told() if isinstance(each, ReferralAsked)]) == 1


async def test_a_person_who_is_referred_can_be_listed_on_both_sides(pair: Network) -> None:
    """Sent and received are pages of their own, behind a cursor; another institution finds nothing."""
    ids = [await pair.refer(await pair.run(), await pair.person(name=f"Person {n}")) for n in range(3)]
    await pair.flow()
    first = await pair.ask(SENDER, "GET", "referrals?side=sent&limit=2")
    rest = await pair.ask(SENDER, "GET", f"referrals?side=sent&limit=2&after={first['next']}")
    assert [each["referral_id"] for each in first["items"] + rest["items"]] == sorted(ids)
    assert rest["next"] is None
    assert (await pair.ask(SENDER, "GET", "referrals?side=received"))["items"] == []
    assert len((await pair.ask(RECEIVER, "GET", "referrals?side=received&state=seat_held"))["items"]) == 3
    answer = await pair.houses[SENDER].api.get(
        f"/institutions/{SENDER}/referrals/{ids[0]}", headers={"Authorization": f"Bearer {RECEIVER}"}
    )
    assert answer.status_code == 403


async def test_every_message_may_come_twice(pair: Network) -> None:
    """Each message of a whole conversation is heard again, behind all others: nothing is told, nothing changes."""
    referral_id, received = await _held(pair)
    await pair.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/accept")
    said = [each for each in await pair.houses[SENDER].told() if hasattr(each, "to")]
    await pair.flow()
    before = [await pair.referral(who, referral_id) for who in (SENDER, RECEIVER)]
    mark = await pair.houses[SENDER].mark()
    for message in said:
        await pair.hear(message.to, message)
    await pair.hear(RECEIVER, ReferralRecalled(**_about(referral_id, SENDER, RECEIVER), code="recalled"))
    assert [await pair.referral(who, referral_id) for who in (SENDER, RECEIVER)] == before
    assert await pair.houses[SENDER].mark() == mark


def _about(referral_id: str, institution: str, to: str) -> dict[str, Any]:
    return {"institution": institution, "to": to, "version": 9, "referral_id": referral_id}


async def _boxed(network: Network, to: str, sender: str, *messages: Message) -> None:
    """Put messages into somebody's box as a third institution could, and have them read."""
    house = network.houses[to]
    streams, name = network.streams_of(house), f"album:1:box:{{{to}}}:{sender}"
    for message in messages:
        [end] = await streams.heads([name])
        at = Position(1, end.seq + 1)
        payload = encode(message, id="msg_1", time=START)
        assert await streams.append(name, end, [Entry(at, payload, GENESIS)], {})
    await network.reader(house, name).catch_up()


async def test_a_third_institution_changes_nothing_and_is_parked(pair: Network) -> None:
    """It answers another's question, recalls, asks for erasure, uses the id again: each is parked with its reason."""
    referral_id, _ = await _held(pair)
    before = [await pair.referral(who, referral_id) for who in (SENDER, RECEIVER)]
    mark = await pair.houses[SENDER].mark()
    to_sender, to_receiver = _about(referral_id, "amfn", SENDER), _about(referral_id, "amfn", RECEIVER)
    answers: list[Message] = [
        ReferralOpened(**to_sender, public_key="9f" * 32),
        ReferralDeclined(**to_sender, code="run_unknown"),
        ReferralAnswered(**to_sender, outcome=ReferralOutcome.ACCEPTED),
        ErasureReceipt(**to_sender, what=(), at=START, signed_by="node", kid="9f" * 8, signature="9f" * 64),
    ]
    asked = {"run_id": "run_00000000", "fields": ALL, "purpose": "Kurs", "expires_on": "2027-02-28"}
    others: list[Message] = [
        ReferralAsked(**to_receiver, **asked),
        ReferralSent(**to_receiver, sealed="QUxC" * 32),
        ReferralRecalled(**to_receiver, code="recalled"),
        ErasureAsked(**to_receiver),
    ]
    for to, messages in ((SENDER, answers), (RECEIVER, others)):
        await _boxed(pair, to, "amfn", *messages)
    parked = await pair.parked(SENDER)
    # What stands behind a parked message of the same referral waits there unread.
    assert [code for code, _ in parked] == ["Stranger", "behind_parked", "behind_parked", "behind_parked"] * 2
    for message in (*answers, *others):
        with pytest.raises(Exception, match="amfn"):
            await pair.hear(message.to, message)  # type: ignore[attr-defined]  # all of them are sealed messages
    assert [await pair.referral(who, referral_id) for who in (SENDER, RECEIVER)] == before
    assert await pair.houses[SENDER].mark() == mark


async def test_what_was_never_asked_is_parked(pair: Network) -> None:
    """The right institution answers about a referral that nobody knows, or an erasure that nobody asked for."""
    referral_id, _ = await _held(pair)
    unknown = _about("referral_00000000", RECEIVER, SENDER)
    receipt = {"what": (), "at": START, "signed_by": "node", "kid": "9f" * 8, "signature": "9f" * 64}
    await _boxed(pair, SENDER, RECEIVER, ReferralAnswered(**unknown, outcome=ReferralOutcome.ACCEPTED))
    assert await pair.parked(SENDER) == [("Stranger", "courses.referral.answered.v1")]
    with pytest.raises(Exception, match="nobody asked"):
        await pair.hear(SENDER, ErasureReceipt(**_about(referral_id, RECEIVER, SENDER), **receipt))


async def test_a_message_in_anothers_box_is_refused(pair: Network) -> None:
    """What is addressed to one institution is not read in the box of another, nor from another speaker's."""
    await _boxed(
        pair, SENDER, "amfn", ReferralOpened(**_about("referral_00000001", "amfn", RECEIVER), public_key="9f" * 32)
    )
    await _boxed(
        pair, SENDER, "adv", ReferralOpened(**_about("referral_00000002", "amfn", SENDER), public_key="9f" * 32)
    )
    assert [code for code, _ in await pair.parked(SENDER)] == ["wrong_addressee", "wrong_institution"]


async def test_an_erasure_of_what_never_came_is_answered_all_the_same(pair: Network) -> None:
    """Nothing is here: the receipt says so, signed, and whoever asked does not wait for ever."""
    await pair.hear(RECEIVER, ErasureAsked(**_about("referral_00000000", SENDER, RECEIVER)))
    [told] = [each for each in await pair.houses[RECEIVER].told() if isinstance(each, ErasureReceipt)]
    assert (told.what, told.to) == ((), SENDER)


async def test_an_older_release_over_there_does_not_answer(pair: Network) -> None:
    """The referral stays asked until the consent ends; a key that comes after that brings nothing but a recall."""
    referral_id = await pair.refer(await pair.run(), await pair.person())
    pair.turn(days=47)
    await timers.expire_referrals(pair.houses[SENDER].node)
    assert (await pair.referral(SENDER, referral_id))["state"] == "asked"
    pair.turn(days=2)
    await timers.expire_referrals(pair.houses[SENDER].node)
    assert (await pair.referral(SENDER, referral_id))["state"] == "expired"
    mark = await pair.houses[SENDER].mark()
    await pair.hear(SENDER, ReferralOpened(**_about(referral_id, RECEIVER, SENDER), public_key="9f" * 32))
    assert [each.type for each in await pair.houses[SENDER].told_since(mark)] == ["courses.referral.recalled.v1"]


async def test_each_side_goes_by_its_own_clock(tmp_path: Path) -> None:
    """A receiver whose clock is weeks ahead refuses; one that is behind goes on until the sender gives up."""
    urls = [f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    async with open_network(*urls) as network:
        first = await network.refer(await network.run(), await network.person())
        network.houses[RECEIVER].clock.turn(days=60)
        await network.flow()
        sent = await network.referral(SENDER, first)
        assert (sent["state"], sent["code"]) == ("refused", "consent_expired")
        network.houses[RECEIVER].clock.turn(days=-120)
        second = await network.refer(await network.run(), await network.person(name="Zweite Person"))
        await network.flow()
        assert await network.states(second) == ("sent", "seat_held")
        network.houses[SENDER].clock.turn(days=60)
        await timers.expire_referrals(network.houses[SENDER].node)
        await network.flow()
        assert await network.states(second) == ("expired", "expired")
        assert await _files(network) == [("erased", None)]


async def test_a_restart_and_an_empty_redis_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    """Between any two steps all readers are new ones and the streams of both nodes are gone."""
    urls = [f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    async with open_network(*urls) as network:
        referral_id = await network.refer(await network.run(), await network.person())
        for _ in range(8):
            network.readers.clear()
            for streams in network.streams.values():
                streams.wipe()
            await network.tell()
            await network.carry()
            await network.read()
        assert await network.states(referral_id) == ("sent", "seat_held")
        assert await network.parked(SENDER) == await network.parked(RECEIVER) == []


async def test_what_cannot_be_opened_is_refused_and_leaves_nothing(pair: Network) -> None:
    """Sealed for another key, or with other fields than the consent names: the sender is told, nothing is kept."""
    referral_id = await pair.refer(await pair.run(), await pair.person())
    await pair.tell()
    await pair.read()
    await pair.hear(RECEIVER, ReferralSent(**_about(referral_id, SENDER, RECEIVER), sealed="QUxC" * 32))
    assert (await pair.referral(RECEIVER, referral_id))["state"] == "refused"
    await pair.flow()
    sent = await pair.referral(SENDER, referral_id)
    assert (sent["state"], sent["code"]) == ("refused", "unreadable")
    assert (await _files(pair), await _keys(pair)) == ([], 0)


async def test_a_recall_before_anything_was_sent_drops_the_key(pair: Network) -> None:
    """Nothing of the person was ever told, and the key goes."""
    referral_id = await pair.refer(await pair.run(), await pair.person())
    await pair.tell()
    await pair.read()
    pair.readers.clear()
    await pair.ask(SENDER, "POST", f"referrals/{referral_id}/recall")
    await pair.flow()
    assert await pair.states(referral_id) == ("recalled", "recalled")
    assert (await _files(pair), await _keys(pair)) == ([], 0)
    assert not [each for each in await pair.houses[SENDER].told() if isinstance(each, ReferralSent)]
