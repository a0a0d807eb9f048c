"""A change with If-Match is made to the state that its sender has seen, or not at all."""

import asyncio

from tests.integration.courses.courses_house import OWNER, House


async def _tag(house: House, path: str) -> str:
    answer = await house.api.get(f"/institutions/{OWNER}/{path}")
    return answer.headers["etag"]


async def _change(house: House, path: str, body: dict[str, object], tag: str | None) -> tuple[int, str | None]:
    headers = {} if tag is None else {"If-Match": tag}
    answer = await house.api.patch(f"/institutions/{OWNER}/{path}", json=body, headers=headers)
    return answer.status_code, answer.json().get("code")


async def test_a_change_to_another_state_than_was_seen_is_refused(house: House) -> None:
    """The second editor of a published run, a draft and a participant file gets 412; without it none."""
    runs = [f"runs/{await house.run()}", f"runs/{await house.run(publish=False)}"]
    for path, body in [
        *((run, {"title": "Neu"}) for run in runs),
        (f"participants/{await house.person()}", {"goal": "B2"}),
    ]:
        seen = await _tag(house, path)
        assert (await _change(house, path, {**body}, seen))[0] == 200
        last = dict.fromkeys(body, "Anders")
        assert await _change(house, path, {**last}, seen) == (412, "version_mismatch")
        assert (await _change(house, path, {**last}, await _tag(house, path)))[0] == 200
        assert (await _change(house, path, {**body}, None))[0] == 200


async def test_of_two_editors_at_once_one_is_refused(house: House) -> None:
    """The comparison is made under the lock."""
    path = f"runs/{await house.run()}"
    seen = await _tag(house, path)
    done = await asyncio.gather(*(_change(house, path, {"title": word}, seen) for word in ("Eins", "Zwei", "Drei")))
    assert sorted(status for status, _ in done) == [200, 412, 412]


async def test_a_command_is_checked_too_and_may_lock_the_run_again(house: House) -> None:
    """Cancelling changes the run and settles its seats in one transaction; an enrolment does not change the tag."""
    run_id = await house.run()
    seen = await _tag(house, f"runs/{run_id}")
    await house.ask(run_id)
    assert await _tag(house, f"runs/{run_id}") == seen
    url = f"/institutions/{OWNER}/runs/{run_id}/cancel"
    refused = await house.api.post(url, json={"reason": "Grund"}, headers={"If-Match": '"another"'})
    assert refused.status_code == 412
    done = await house.api.post(url, json={"reason": "Grund"}, headers={"If-Match": f'"another", {seen}'})
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")
