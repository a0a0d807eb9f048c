"""What goes wrong at night: servers away, processes killed, two copies at once. Nothing is lost, nothing doubled."""

import asyncio
import json
from collections import Counter
from functools import partial
from typing import Any

import httpx

from deploy.demo.hands import until
from deploy.demo.people import people
from deploy.demo.platform import Embedded
from deploy.demo.story import STARTING, Story
from shared.embedded.ports import free_port


async def _ask_all(story: Story, run_id: str, count: int) -> list[str]:
    """Have people ask one after the other, as a partner's software would: again and again until it is answered."""
    house = story.known["bildungsverein"]
    addresses = []
    for person in people(count, run_id.replace("_", "-")):
        participant = await _insisting(house.post, "courses", "/participants", _body(person))
        await _insisting(
            house.post, "courses", f"/runs/{run_id}/enrolments", {"participant_id": participant["participant_id"]}
        )
        addresses.append(person.mail)
    return addresses


def _body(person: Any) -> dict[str, Any]:
    return {"name": person.name, "mail": person.mail, "language": person.language, "contact_consent": True}


async def _insisting(do: Any, *arguments: Any) -> Any:
    for _ in range(100):
        try:
            return await do(*arguments)
        except httpx.TransportError:
            await asyncio.sleep(0.2)
    raise AssertionError("the service did not come back")


async def _everybody_has_one_mail(story: Story, addresses: list[str]) -> None:
    async def look() -> bool | None:
        told = Counter(mail.recipient for mail in story.platform.mails())
        return all(told[address] for address in addresses) or None

    await until("everybody has a mail", look, patience=60)
    await asyncio.sleep(1.0)
    told = Counter(mail.recipient for mail in story.platform.mails() if mail.recipient in addresses)
    assert [address for address, count in told.items() if count != 1] == []


async def test_redis_is_gone_for_a_while(story: Story, platform: Embedded) -> None:
    """Requests are answered all the same; what was told meanwhile arrives when Redis is back."""
    run_id = await story.published_run(story.known["bildungsverein"], "Deutsch am Abend", 12, minimum=3)
    platform.redis.kill()
    addresses = await _ask_all(story, run_id, 8)
    assert not [mail for mail in platform.mails() if mail.recipient in addresses]
    platform.redis.start()
    await _everybody_has_one_mail(story, addresses)


async def test_redis_loses_everything_in_mid_run(story: Story, platform: Embedded) -> None:
    """SQL is the truth: streams and states come back with the same ids, and nothing is told twice."""
    run_id = await story.published_run(story.known["bildungsverein"], "Deutsch am Morgen", 30, minimum=3)
    asking = asyncio.create_task(_ask_all(story, run_id, 24))
    await asyncio.sleep(0.5)
    platform.redis.wipe()
    await _everybody_has_one_mail(story, await asking)
    await until("all streams are read", story.no_lag, patience=60)
    assert json.loads(platform.album("parked", "list", "--json")) == []


async def test_any_service_is_killed_in_mid_work(story: Story, platform: Embedded) -> None:
    """kill -9 of members and courses while people ask: each answer holds, each person gets one mail."""
    run_id = await story.published_run(story.known["bildungsverein"], "Deutsch am Nachmittag", 30, minimum=3)
    asking = asyncio.create_task(_ask_all(story, run_id, 24))
    for service in ("courses", "members", "events", "courses"):
        await asyncio.sleep(0.3)
        platform.kill(service)
        platform.start_service(service)
        await asyncio.sleep(1.5)
    addresses = await asking
    await _everybody_has_one_mail(story, addresses)
    await story.ready()
    enrolments = (await story.known["bildungsverein"].get("courses", f"/runs/{run_id}/enrolments"))["items"]
    assert Counter(one["state"] for one in enrolments) == {"enrolled": 24}


async def test_the_sender_of_mails_is_killed_in_mid_work(story: Story, platform: Embedded) -> None:
    """After kill -9 no mail is doubled, and one whose fate nobody knows is listed as uncertain, not lost."""
    run_id = await story.published_run(story.known["bildungsverein"], "Deutsch am Samstag", 30, minimum=3)
    asking = asyncio.create_task(_ask_all(story, run_id, 20))
    for _ in range(3):
        await asyncio.sleep(0.6)
        platform.kill("notifications")
        platform.start_service("notifications")
    addresses = await asking
    await story.ready()
    house = story.known["bildungsverein"]

    async def settled() -> list[dict[str, Any]] | None:
        found = (await house.get("notifications", "/deliveries?kind=enrolled&limit=200"))["items"]
        found = [one for one in found if one["occasion_id"] == run_id]
        open_ones = [one for one in found if one["state"] in ("planned", "queued", "sending", "deferred")]
        return found if len(found) == len(addresses) and not open_ones else None

    deliveries = await until("every delivery has an end", settled, patience=90)
    told = Counter(mail.recipient for mail in platform.mails() if mail.recipient in addresses)
    assert max(told.values()) == 1
    states = Counter(one["state"] for one in deliveries)
    assert states["handed_over"] + states["uncertain"] == len(addresses)
    assert len(told) >= states["handed_over"]


async def test_two_copies_of_every_service_share_the_work(story: Story, platform: Embedded) -> None:
    """Both read, both send, both look at the clock: still one effect for each message."""
    ports = {service: free_port() for service in ("members", "courses", "events", "notifications")}
    for service, port in ports.items():
        platform.start_service(service, copy="-two", ALBUM_PORT=str(port))
    for service, port in ports.items():
        await until(f"the second {service} is ready", partial(_is_ready, story, port), patience=STARTING)
    run_id = await story.published_run(story.known["bildungsverein"], "Deutsch zu zweit", 30, minimum=3)
    addresses = await _ask_all(story, run_id, 28)
    await _everybody_has_one_mail(story, addresses)
    still = [await _is_ready(story, port) for port in ports.values()]
    for service in ports:
        platform.kill(f"{service}-two")
    assert still == [True] * len(ports)


async def _is_ready(story: Story, port: int) -> bool | None:
    try:
        answer = await story.http.get(f"http://127.0.0.1:{port}/health/ready")
    except httpx.TransportError:
        return None
    return answer.status_code == 200 or None


async def test_bad_input_gets_a_clear_answer(story: Story, platform: Embedded) -> None:
    """Malformed, too large, foreign or unknown: a problem with a stable code, and nothing is kept."""
    house = story.known["bildungsverein"]
    url = f"{platform.urls['courses']}/institutions"
    own = {"Authorization": f"Bearer {house.key}", "Content-Type": "application/json"}
    cases = {
        (422, "invalid"): (f"{url}/bildungsverein/offers", own, b"{"),
        (413, "too_large"): (f"{url}/bildungsverein/offers", own, b'"' + b"x" * 2_000_000 + b'"'),
        (403, "other_institution"): (f"{url}/kargah/offers", own, b"{}"),
        (401, "key_missing_or_unknown"): (f"{url}/bildungsverein/offers", {}, b"{}"),
        (404, "not_found"): (f"{url}/bildungsverein/runs/run_00000000/publish", own, b""),
    }
    for (status, code), (address, headers, body) in cases.items():
        answer = await story.http.post(address, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
