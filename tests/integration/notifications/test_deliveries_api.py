"""What staff see of mails by HTTP, and what they can do."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from services.notifications.app import service
from services.notifications.domain.delivery import State
from shared.embedded.smtp_script import Reply
from shared.kit import migrate
from tests.integration.notifications.conftest import HOUSE, NOW, Notified, contact, given, staff_of

PAGE = f"/institutions/{HOUSE}/deliveries"


@pytest.fixture
async def staff(notified: Notified) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the institution's own key."""
    async with staff_of(notified.database, notified.settings, notified.clock) as client:
        yield client


async def test_staff_see_what_became_of_a_mail(notified: Notified, staff: httpx.AsyncClient) -> None:
    """State, reason, and every attempt with its class and answer; the address is masked, also in the answer."""
    notified.catcher.script = lambda moment: (
        Reply(550, "5.1.1 <p1@example.org> unknown") if moment.phase == "rcpt" else None
    )
    await notified.hear(contact(), given())
    await notified.send()
    [shown] = (await staff.get(PAGE, params={"state": "undeliverable"})).json()["items"]
    answer = await staff.get(f"{PAGE}/{shown['delivery_id']}")
    [attempt] = answer.json()["attempts_made"]
    assert (shown["reason"], shown["class"], shown["address"]) == ("dead_address", "info", "p…@example.org")
    assert (attempt["outcome"], attempt["code"], attempt["answer"]) == ("dead_address", 550, "5.1.1 <…> unknown")
    assert "p1@example.org" not in answer.text
    assert "Ayşe" not in answer.text


async def test_the_list_is_filtered_and_paged(notified: Notified, staff: httpx.AsyncClient) -> None:
    """By state, kind and time of the last change; the cursor leads through all, each once, the newest first."""
    for person in range(5):
        notified.clock.moment += timedelta(minutes=1)
        await notified.hear(contact(person), given(person=person))
    pages, cursor = [], None
    while True:
        query = {"kind": "enrolled", "limit": "2"} | ({"after": cursor} if cursor else {})
        page = (await staff.get(PAGE, params=query)).json()
        pages.append([one["participant_id"] for one in page["items"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == [["par_00000004", "par_00000003"], ["par_00000002", "par_00000001"], ["par_00000000"]]
    since = (await staff.get(PAGE, params={"since": (NOW + timedelta(minutes=4)).isoformat()})).json()
    assert len(since["items"]) == 4
    assert (await staff.get(PAGE, params={"state": "held"})).json() == {"items": [], "next": None}
    assert (await staff.get(PAGE, params={"state": "nowhere"})).status_code == 422


async def test_another_institution_sees_and_does_nothing(notified: Notified, staff: httpx.AsyncClient) -> None:
    """Its key is refused here, and under its own name our mail does not exist."""
    await notified.hear(contact(), given())
    id = (await notified.one("enrolled")).id
    theirs = {"Authorization": "Bearer theirs"}
    for method, path in (("GET", PAGE), ("GET", f"{PAGE}/{id}"), ("POST", f"{PAGE}/{id}/retry")):
        assert (await staff.request(method, path, headers=theirs)).status_code == 403
        assert (await staff.request(method, path, headers={"Authorization": ""})).status_code == 401
    own = "/institutions/vnb/deliveries"
    assert (await staff.get(own, headers=theirs)).json()["items"] == []
    assert (await staff.get(f"{own}/{id}", headers=theirs)).status_code == 404
    assert (await staff.post(f"{own}/{id}/retry", headers=theirs)).status_code == 404
    assert (await notified.one("enrolled")).state is State.queued


@pytest.mark.parametrize(
    ("phase", "reply", "state"),
    [
        ("rcpt", Reply(550, "5.1.1 unknown"), State.undeliverable),
        ("end", Reply(554, "5.6.0 bad"), State.held),
    ],
)
async def test_staff_have_a_mail_tried_again(
    notified: Notified, staff: httpx.AsyncClient, phase: str, reply: Reply, state: State
) -> None:
    """A human has looked: the address is written to again, the kind is no longer held, and the mail leaves."""
    await notified.hear(contact(), given())
    notified.catcher.script = lambda moment: reply if moment.phase == phase else None
    await notified.send()
    found = await notified.one("enrolled")
    assert found.state is state
    notified.catcher.script = lambda _: None
    answer = await staff.post(f"{PAGE}/{found.id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert await notified.send() == 1
    assert len(notified.catcher.mails) == 1


async def test_what_was_sent_or_is_too_old_is_not_tried_again(notified: Notified, staff: httpx.AsyncClient) -> None:
    """409 with a code that says which."""
    await notified.hear(contact(), given())
    notified.catcher.script = lambda moment: Reply(550, "no") if moment.phase == "rcpt" else None
    await notified.send()
    found = await notified.one("enrolled")
    notified.clock.moment = found.useless_after
    late = await staff.post(f"{PAGE}/{found.id}/retry")
    assert (late.status_code, late.json()["code"]) == (409, "too_late")
    [reminder] = await notified.deliveries("reminder")
    planned = await staff.post(f"{PAGE}/{reminder.id}/retry")
    assert (planned.status_code, planned.json()["code"]) == (409, "not_to_be_retried")


async def test_the_schema_is_what_the_code_believes_in(notified: Notified) -> None:
    """A migrated database and the tables in the code are the same."""
    assert await migrate.differences(service, notified.database) == []


async def test_a_mail_is_tried_again_in_the_state_that_was_seen(notified: Notified, staff: httpx.AsyncClient) -> None:
    """Two people look at a mail that could not be delivered: the second one is told that it has moved on."""
    notified.catcher.script = lambda moment: Reply(550, "5.1.1 unknown") if moment.phase == "rcpt" else None
    await notified.hear(contact(), given())
    await notified.send()
    url = f"{PAGE}/{(await notified.one('enrolled')).id}"
    seen = await staff.get(url)
    again = await staff.get(url, headers={"If-None-Match": seen.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    tag = {"If-Match": seen.headers["etag"]}
    answers = [await staff.post(f"{url}/retry", headers=tag) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 412]
    assert (await staff.post(f"{url}/retry")).status_code == 409


async def test_there_is_no_public_state_to_follow(staff: httpx.AsyncClient) -> None:
    """What a service tells its own institution alone is in no feed."""
    for path in ("/changes", "/changes/live"):
        assert (await staff.get(path)).status_code == 404
