"""The pages behind the links in mails: looking does nothing, pressing the button does it once."""

from datetime import timedelta

import pytest

from shared.kit import work
from shared.pages import Links, Purpose
from tests.integration.courses.courses_house import SECRET, House


def _link(house: House, purpose: Purpose, subject: str, language: str = "de", hours: int = 48) -> str:
    url = Links(SECRET, "http://courses").url(purpose, subject, language, house.clock.now() + timedelta(hours=hours))
    return url.removeprefix("http://courses")


async def _offered(house: House) -> tuple[str, str, str]:
    run_id = await house.run(capacity=1)
    first, second, third = [await house.ask(run_id) for _ in range(3)]
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    return run_id, second["enrolment_id"], third["enrolment_id"]


async def test_opening_a_link_does_nothing(house: House) -> None:
    """GET shows the question with course, institution and deadline; the offer stays an offer."""
    _, offered, _ = await _offered(house)
    page = await house.api.get(_link(house, "accept", offered))
    assert page.status_code == 200
    assert "Berufssprachkurs B2" in page.text
    assert "Haus vhs-nord" in page.text
    assert '<form method="post">' in page.text
    assert page.headers["cache-control"] == "no-store"
    assert (await house.enrolment(offered))["state"] == "offered"


async def test_pressing_the_button_takes_the_seat_once(house: House) -> None:
    """The first POST takes it, the second and a GET say that it is done, and no form is left."""
    _, offered, _ = await _offered(house)
    link = _link(house, "accept", offered)
    first, second = await house.api.post(link), await house.api.post(link)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.text != second.text
    assert (await house.enrolment(offered))["state"] == "enrolled"
    assert "<form" not in (await house.api.get(link)).text


async def test_declining_offers_the_seat_to_the_next(house: House) -> None:
    """One POST later the next one has the offer."""
    _, offered, following = await _offered(house)
    assert (await house.api.post(_link(house, "decline", offered))).status_code == 200
    assert (await house.enrolment(following))["state"] == "offered"


async def test_after_the_deadline_it_is_too_late_and_one_can_come_back(house: House) -> None:
    """The offer is over with its deadline, before any timer saw it; asking again is a turn in the queue."""
    _, offered, _ = await _offered(house)
    late = _link(house, "accept", offered, hours=100)
    house.clock.turn(hours=48)
    assert (await house.api.get(late)).status_code == 410
    assert (await house.api.post(late)).status_code == 410
    assert (await house.enrolment(offered))["state"] == "offered"
    await house.post(f"enrolments/{offered}/withdraw")
    again = await house.api.post(_link(house, "again", offered))
    assert again.status_code == 200
    assert (await house.enrolment(offered))["state"] == "waiting"


async def test_coming_back_to_a_free_seat_gives_it(house: House) -> None:
    """Where nobody waits any more, whoever asks again has the place at once and reads so."""
    run_id = await house.run(capacity=1)
    asked = await house.ask(run_id)
    cancelled = await house.api.post(_link(house, "cancel", asked["enrolment_id"], "en"))
    again = await house.api.post(_link(house, "again", asked["enrolment_id"], "en"))
    assert "You have cancelled" in cancelled.text
    assert "The place is yours" in again.text


@pytest.mark.parametrize("purpose", ["accept", "decline", "again"])
async def test_links_into_a_cancelled_run_say_that_it_is_over(house: House, purpose: Purpose) -> None:
    """No button, nothing done, a status that says so."""
    run_id, offered, _ = await _offered(house)
    await house.post(f"runs/{run_id}/cancel", {"reason": "Grund"})
    page = await house.api.post(_link(house, purpose, offered))
    assert page.status_code == (200 if purpose == "decline" else 410)
    assert "<form" not in page.text
    assert (await house.enrolment(offered))["state"] == "withdrawn"


async def test_links_that_are_none_or_too_old_have_plain_pages(house: House) -> None:
    """A cut-off link, a foreign purpose, somebody unknown, and one past its end."""
    _, offered, _ = await _offered(house)
    old = _link(house, "accept", offered, hours=1)
    unknown = _link(house, "accept", "enrolment_00000000")
    confirm = _link(house, "confirm", offered)
    house.clock.turn(hours=1)
    for path, status in ((old, 410), (unknown, 404), (confirm, 404), ("/l/nonsense", 404)):
        for method in ("GET", "POST"):
            page = await house.api.request(method, path)
            assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8"), path


async def test_a_service_that_is_not_sure_yet_asks_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a backup does not know is not unknown; a little later the same link gives the place."""
    monkeypatch.setattr(work, "MOMENT", 0.01)
    house.works.sure.clear()
    unknown = _link(house, "accept", "enrolment_00000000", "tr")
    page = await house.api.post(unknown)
    assert (page.status_code, page.headers["retry-after"]) == (503, "1")
    assert "bağlantıyı birkaç dakika sonra bir kez daha açın" in page.text
    assert '<html lang="tr"' in page.text
    house.works.sure.set()
    assert (await house.api.post(unknown)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_database_that_is_away_is_a_page_too(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Nobody on a phone reads JSON."""
    _, offered, _ = await _offered(house)

    def away(*_: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(house.works, "_store", away)
    page = await house.api.request(method, _link(house, "accept", offered))
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "Das geht gerade nicht" in page.text


async def test_a_reader_of_arabic_reads_from_right_to_left(house: House) -> None:
    """The page is in the language of the link, with German below."""
    _, offered, _ = await _offered(house)
    page = await house.api.get(_link(house, "accept", offered, "ar"))
    assert '<html lang="ar" dir="rtl">' in page.text
    assert 'lang="de" dir="ltr"' in page.text


async def test_whoever_comes_back_reads_their_number(house: House) -> None:
    """After asking again the page says the number on the waiting list, and a link that is not for runs is unknown."""
    run_id = await house.run(capacity=1)
    _, leaving, _ = [await house.ask(run_id) for _ in range(3)]
    await house.post(f"enrolments/{leaving['enrolment_id']}/withdraw")
    again = await house.api.post(_link(house, "again", leaving["enrolment_id"]))
    assert "Ihr Platz auf der Warteliste" in again.text
    assert "<bdi>2</bdi>" in again.text
    assert (await house.api.get(_link(house, "confirm", leaving["enrolment_id"]))).status_code == 404
