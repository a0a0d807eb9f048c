"""What stands before a service's door is counted before it fills the memory."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from shared.kit.admission import MIB, Admission, Bodies, Door, Sender

AWO, STRANGER = Sender("awo", known=True), Sender("address 10.0.0.1", known=False)


def _status(bodies: Bodies, sender: Sender, count: int) -> int:
    try:
        bodies.hold(sender, count)
    except HTTPException as refused:
        return refused.status_code if "Retry-After" in (refused.headers or {}) else 0
    return 200


def test_each_sender_holds_its_share_and_strangers_together_a_part() -> None:
    """Above one's own share it is 429, where all is full 503; what is let go is free again."""
    bodies = Bodies(total=10, share=4, strangers=6)
    assert [_status(bodies, AWO, 4), _status(bodies, AWO, 1)] == [200, 429]
    others = [Sender(f"address {number}", known=False) for number in range(3)]
    assert [_status(bodies, one, 3) for one in others] == [200, 200, 503]
    assert _status(bodies, Sender("amfn", known=True), 1) == 503
    bodies.release(AWO, 4)
    assert [_status(bodies, AWO, 4), _status(bodies, others[2], 1)] == [200, 503]


class Service:
    """An application that reads its body and then holds it until it may answer."""

    def __init__(self) -> None:
        self.inside = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, wait, answer; who is refused while the body arrives is answered at once."""
        try:
            while (await receive()).get("more_body"):
                pass
        except HTTPException as error:
            await PlainTextResponse("", error.status_code)(scope, receive, send)
            return
        self.inside += 1
        await self.go_on.wait()
        await PlainTextResponse("")(scope, receive, send)


async def _send(app: Any, size: int, authorization: str = "", address: str = "10.0.0.1") -> int:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/messages",
        "headers": [(b"authorization", authorization.encode())],
        "client": (address, 1),
    }
    parts = [b"x" * min(65536, size - at) for at in range(0, size, 65536)]
    statuses: list[int] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


def _refused(problem: Any) -> PlainTextResponse:
    return PlainTextResponse("", problem.status, dict(problem.headers))


async def _flooded(app: Any, service: Service, senders: int) -> list[int]:
    """Have strangers send a megabyte each at once; give how they were answered."""
    tasks = [asyncio.create_task(_send(app, MIB, address=f"10.0.1.{number}")) for number in range(senders)]
    for _ in range(200):
        await asyncio.sleep(0)
    service.go_on.set()
    return list(await asyncio.gather(*tasks))


async def test_strangers_fill_a_bounded_part_of_the_memory() -> None:
    """Of a hundred megabytes at once twelve are held; the others are refused while they arrive."""
    service = Service()
    answers = await _flooded(Admission(service, Door(50, 200, MIB, MIB), _refused), service, 100)
    assert service.inside <= 12
    assert answers.count(503) >= 88


async def test_without_the_door_all_of_it_is_held() -> None:
    """The control: the service alone takes a hundred megabytes."""
    service = Service()
    assert await _flooded(service, service, 100) == [200] * 100
    assert service.inside == 100


async def test_somebody_known_is_told_to_wait_before_anything_is_read() -> None:
    """The bucket of requests, and the debt of bytes, are asked first; a stranger has no bucket."""
    service = Service()
    service.go_on.set()
    door = Door(rate=0.001, burst=2, byte_rate=0.001, byte_burst=MIB)
    door.senders.learn("Bearer awo", "awo")
    door.senders.learn("Bearer amfn", "amfn")
    app = Admission(service, door, _refused)
    assert [await _send(app, 10, "Bearer awo") for _ in range(3)] == [200, 200, 429]
    assert [await _send(app, MIB, "Bearer amfn"), await _send(app, MIB, "Bearer amfn")][0] == 200
    assert await _send(app, 10, "Bearer amfn") == 429
    assert [await _send(app, 10) for _ in range(3)] == [200] * 3


async def test_a_body_that_comes_in_pieces_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps a place and never ends is refused with 408."""
    monkeypatch.setattr("shared.kit.admission.BODY_SECONDS", 0.0)
    app = Admission(Service(), Door(50, 200, MIB, MIB), _refused)
    assert await _send(app, MIB) == 408


def test_a_revoked_key_is_a_stranger_again() -> None:
    """What the service learns of a key counts from its next request on."""
    door = Door(50, 200, MIB, MIB)
    scope = {"headers": [(b"authorization", b"Bearer x")], "client": ("10.0.0.1", 1), "type": "http"}
    door.senders.learn("Bearer x", "awo")
    assert door.senders.of(scope) == AWO
    door.senders.learn("Bearer x", None)
    assert door.senders.of(scope) == STRANGER
